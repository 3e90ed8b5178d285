//! One test binary for everything that crosses rooms: real sockets, real files, real processes.

mod command_line;
mod durability;
mod firing;
mod house;
mod import;
mod limits;
mod restart;
mod support;
mod wire;
