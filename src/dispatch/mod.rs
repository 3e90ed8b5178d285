//! .

mod settings;
pub use self::settings::*;
