//! TLS of our own listener: which certificate is in force, how a connection begins, and who is at its other end.

mod client_name;
mod handshake;
mod in_force;
mod material;
mod settings;

pub use self::material::TlsError;
pub use self::settings::{ClientCertificate, TlsSettings, TlsVersion};

pub(super) use self::handshake::shake_hands;
pub(super) use self::in_force::in_force;
