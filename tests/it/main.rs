//! One test binary for everything that crosses rooms: real sockets, real files, real processes.

mod durability;
mod firing;
mod house;
mod limits;
mod restart;
mod support;
mod wire;
