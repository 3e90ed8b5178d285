//! One test binary for everything that crosses rooms: real sockets, real files, real processes.

mod apply;
mod bulk;
mod command_line;
mod crash;
mod durability;
mod elastic_cluster;
mod elastic_faults;
mod elastic_races;
mod elastic_runs;
mod elastic_store;
mod entry_options;
mod firing;
mod golden;
mod house;
mod import;
mod kibana;
mod limits;
mod log_search;
mod migrate;
mod openapi;
mod options;
mod preview;
mod restart;
mod support;
mod versions;
mod wire;
