//! One test binary for everything that crosses rooms: real sockets, real files, real processes.

mod command_line;
mod durability;
mod elastic_cluster;
mod elastic_faults;
mod elastic_races;
mod elastic_store;
mod firing;
mod house;
mod import;
mod kibana;
mod limits;
mod log_search;
mod migrate;
mod restart;
mod support;
mod wire;
