//! Takes connections in, bounded in number, time and size, over TLS where the configuration says so, and hands their requests to the
//! routes. Who asks is told with each request: [`Connection`].
//!
//! | file | |
//! |---|---|
//! | `server.rs` | the accept loop, and its graceful end |
//! | `admission.rs` | how many connections may be open, in all and from one address |
//! | `tls/` | certificates: read, looked at again, put in force; the handshake; the name in a client's certificate |
//! | `serving.rs` | one connection from its first byte to its end |
//! | `activity.rs` | what goes on over a connection, and when it has to end: rules without a clock |
//! | `wire.rs`, `pieces.rs` | note what is read and written, and what of an answer is taken |
//! | `refusing.rs` | what is refused before any route sees it |

mod activity;
mod admission;
mod connection;
mod noting;
mod pieces;
mod refusing;
mod server;
mod serving;
mod tls;
mod wire;

pub use self::server::{Server, ServerError};
pub use self::tls::{ClientCertificate, TlsError, TlsSettings, TlsVersion};

pub(super) use self::connection::{ClientName, Connection};
