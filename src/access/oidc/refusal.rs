//! Why a token does not open. The token itself, and what stands in it, is never told: the answer may be logged on its way.

/// A token that is none of the issuer, or does not count now or here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It cannot be read.
    #[error("this token cannot be read: {0}")]
    Form(&'static str),
    /// Anybody could sign so, or nobody here can look at it.
    #[error(
        "this token is signed in a way that is not taken, expected RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384 or EdDSA"
    )]
    Algorithm,
    /// There is no such key, also after another look.
    #[error("this token is signed with a key that its issuer does not publish")]
    UnknownKey,
    /// It names no key, and there are several.
    #[error("this token does not say which key it is signed with (`kid`), and its issuer publishes several")]
    NoKeyNamed,
    /// The key is for something else.
    #[error("this token is signed in a way that the key it names is not for")]
    OtherAlgorithm,
    /// Somebody else has signed it, or it was changed.
    #[error("the signature of this token is wrong")]
    Signature,
    /// It is not of the issuer that is trusted.
    #[error("this token is of another issuer (`iss`)")]
    OtherIssuer,
    /// It is for another service.
    #[error("this token is for another audience (`aud`)")]
    OtherAudience,
    /// It does not count any more.
    #[error("this token has expired (`exp`)")]
    Expired,
    /// It would count for ever.
    #[error("this token does not say when it ends (`exp`)")]
    Endless,
    /// It does not count yet.
    #[error("this token is not valid yet (`nbf`)")]
    NotYet,
    /// One of the clocks is wrong.
    #[error("this token was issued in the future (`iat`)")]
    FromTheFuture,
}

/// Why a token does not open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::access) enum Unfit {
    /// It is none that counts.
    Wrong(TokenError),
    /// It counts, and allows nothing here.
    Unmapped(String),
    /// The keys of the issuer are not there.
    NoKeys(&'static str),
}

impl From<TokenError> for Unfit {
    fn from(error: TokenError) -> Self {
        Self::Wrong(error)
    }
}
