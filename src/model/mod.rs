//! The words of the house: plain data and pure rules. Nothing here is async, asks the time or does I/O.

pub mod cron;
mod time;
mod zone;

pub use self::time::{NEVER, Timestamp};
pub use self::zone::{TimeZone, TimeZoneError};
