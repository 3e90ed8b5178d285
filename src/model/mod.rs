//! The words of the house: plain data and pure rules. Nothing here is async, asks the time or does I/O.

pub mod cron;
mod fire;
mod identity;
mod lease;
mod nearest;
mod record;
mod request;
mod shard;
mod task;
mod time;
mod zone;

pub use self::fire::{Fire, RunId, Trigger};
pub use self::identity::{EntryName, Identity, NAME_LEN_MAX, NameError};
pub use self::lease::{Claim, Epoch, Lease};
pub use self::nearest::nearest_name;
pub use self::record::{Record, RecordId, RecordKind, Settled, Stretch};
pub use self::request::{Header, JsonText, Request, RequestError, TargetUrl};
pub use self::shard::Shard;
pub use self::task::{Entry, LastFire, Revision, Task};
pub use self::time::{NEVER, Timestamp};
pub use self::zone::{TimeZone, TimeZoneError};
