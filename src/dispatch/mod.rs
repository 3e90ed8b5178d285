//! May it go, and did it: limits, the request itself, its outcome. Decides nothing about when.

mod attempt;
mod body;
mod lanes;
mod request;
mod run_loop;
mod settings;

pub use self::attempt::{Answer, HttpTransport, Transport, TransportError, build_client};
pub use self::request::OutgoingRequest;
pub use self::run_loop::{Cancelled, Dispatch, DispatchStopped, Drained, start};
pub use self::settings::Settings;
