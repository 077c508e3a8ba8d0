//! Watches all guests of a host, and has each panic captured by a process of its own.

pub mod config;
