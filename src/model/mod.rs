//! The words of the house: plain data and pure rules. Nothing here is async, asks the time or does I/O.

mod credentials;
pub mod cron;
mod duration;
mod exclusion;
mod fire;
mod identity;
mod instants;
mod kept;
mod lease;
mod masking;
mod mistakes;
mod nearest;
pub mod object;
mod options;
mod pause;
mod prefixes;
mod record;
mod request;
mod request_read;
mod schedule;
mod secret;
mod shard;
mod strict_json;
mod targets;
mod task;
mod template;
mod time;
mod zone;

pub use self::credentials::{
    Auth, AuthError, Credentials, OAuth2Client, SIGNATURE_HEADERS, Signing, SigningKey, SigningKeyError, TokenRequest,
    is_token,
};
pub use self::duration::{DurationError, duration_text, parse_duration};
pub use self::fire::{Asked, Attempt, Backfill, Fire, Notice, Occasion, Progress, RunId, Trigger};
pub use self::identity::{EntryName, Identity, NAME_LEN_MAX, NameError};
pub use self::instants::{Instants, Limit};
pub use self::lease::{Claim, Epoch, Lease};
pub use self::masking::Masking;
pub use self::nearest::nearest_name;
pub use self::options::{
    Backoff, Callback, Delivery, EntryOptions, Failure, Misfire, Overlap, RetryPolicy, SuccessRule, jitter_delay,
    parse_retry_after,
};
pub use self::pause::{Lifted, Pause, PauseScope, Pauses};
pub use self::prefixes::{Prefixes, PrefixesError};
pub use self::record::{Record, RecordId, RecordKind, RunState, Settled, Stretch};
pub use self::request::{Header, JsonText, MASK, Request, RequestError, TargetUrl};
pub use self::schedule::{Exclude, Schedule, ScheduleError};
pub use self::secret::{SecretName, SecretNameError, SecretText, SecretTexts};
pub use self::shard::{Shard, ShardSet};
pub use self::targets::{AddressClass, Destination, Refusal, Rule, RuleMistake, TargetRules};
pub use self::task::{End, Entry, EntryState, LastEnd, LastFire, Revision, Task};
pub use self::template::{StringKind, TemplateError, TemplateGrowth, TemplateValues};
pub use self::time::{NEVER, Timestamp};
pub use self::zone::{TimeZone, TimeZoneError};
