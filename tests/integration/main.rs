//! The program against a scripted QEMU: what the real one cannot be made to do on demand.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test fails by panicking"
)]

#[path = "../tool/leave_out.rs"]
mod leave_out;
#[path = "../tool/mod.rs"]
mod tool;

mod age_key;
mod core_stream;
mod frozen_disk;
mod lacking;
mod refusing_system;
mod script;
mod scripted_libvirt;
mod scripted_qemu;
#[allow(dead_code, reason = "the tests of remote stores use all of it")]
#[path = "../remote/seaweedfs.rs"]
mod seaweedfs;
mod setting;
mod tmpfs;
mod watcher;

mod any_state;
mod changed_guest;
mod confined;
mod damaged_dumps;
mod direct;
mod doctor;
mod encrypted_capture;
mod encrypted_failures;
mod encrypted_keys;
mod encrypted_reading;
mod faults_disk;
mod faults_dump;
mod faults_hanging_disk;
mod faults_monitor;
mod faults_release;
mod faults_sync;
mod guest_names;
mod hooks;
mod hostile_files;
mod hostile_kdump;
mod hostile_logs;
mod hostile_store;
mod hostile_text;
mod libvirt_capture;
mod libvirt_client;
mod manual;
mod messages;
mod metadata;
mod package;
mod pages;
mod pins_and_notes;
mod pruning;
mod ranges;
mod reading;
mod report_child;
mod report_only;
mod signals;
mod spooled;
mod status;
mod store_index;
mod store_limit;
mod stored_entries;
mod stuck_stderr;
mod tables;
mod triage;
#[cfg(feature = "remote")]
mod uploading;
mod usage;
mod verifying;
mod verifying_metadata;
mod waiting;
mod watching;
mod watching_libvirt;
mod watching_long;
