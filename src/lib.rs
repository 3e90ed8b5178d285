//! Fires HTTP requests on time and records exactly one outcome for every instant.
//!
//! The floor plan, from the outside in. A room may use those that stand after it, none before it:
//!
//! - [`cli`]: the command line, the front door
//! - [`node`]: puts the rooms together and drains them in reverse
//! - [`config`]: text to settings, with every mistake at once
//! - [`api`]: what clients ask: HTTP in, HTTP out
//! - [`ui`]: what browsers are given
//! - [`catalog`]: what tasks exist
//! - [`engine`]: when an instant has come
//! - [`dispatch`]: may it go, and did it
//! - [`journal`]: what happened
//! - [`cluster`]: which node owns what
//! - [`access`]: who may do what
//! - [`secrets`]: what is filled in at the last moment and shown nowhere
//! - [`store`]: keeps tasks, leases and the journal
//! - [`observe`]: what is seen of the inside
//! - [`clock`]: the only room that asks for the time
//! - [`model`]: words without verbs
//!
//! `docs/ARCHITECTURE.md` tells the life of one fire.

pub mod access;
pub mod api;
pub mod catalog;
pub mod cli;
pub mod clock;
pub mod cluster;
pub mod config;
pub mod dispatch;
pub mod engine;
pub mod journal;
pub mod model;
pub mod node;
pub mod observe;
pub mod secrets;
pub mod store;
pub mod ui;
