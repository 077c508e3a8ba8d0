//! Prints the results of other modules, as text for people and as JSON. Decides nothing.

pub mod backtrace;
pub mod crash_title;
pub mod dmesg;
pub mod doctor;
pub mod explain;
pub mod groups;
pub mod hexdump;
pub mod info;
pub mod json;
pub mod kernel;
pub mod list;
pub mod memory_json;
pub mod modules;
pub mod places;
pub mod print;
pub mod print_json;
pub mod push;
pub mod registers;
pub mod report;
pub mod status;
mod table;
pub mod tasks;
pub mod verify;
pub mod vtop;
pub mod watch;
