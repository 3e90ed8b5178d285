//! What people and machines see of the inside: log lines and metrics.

mod causes;
mod logs;
pub mod metrics;
mod settings;

pub use self::causes::with_causes;
pub use self::logs::{init, is_filter};
pub use self::settings::{LogFormat, Settings};
