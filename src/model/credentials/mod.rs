//! How a request shows who sends it, and that it is as it was sent.
//!
//! The values stay texts, as they were given: each may name secrets, which are filled in when an attempt is made. So what can be judged
//! without them is judged at the put, and all of it again when it is used.

mod auth;
mod kept;
mod oauth2;
mod read;
mod signing;
mod text;

pub use self::auth::{Auth, AuthError, is_token};
pub use self::oauth2::{OAuth2Client, TokenRequest};
pub use self::read::Credentials;
pub use self::signing::{SIGNATURE_HEADERS, Signing, SigningKey, SigningKeyError};
