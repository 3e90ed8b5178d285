//! The keys by which secrets of the store are encrypted: one a line in a file that nobody else reads.

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::digest::{Context, SHA256};
use ring::rand::{SecureRandom, SystemRandom};
use secrecy::zeroize::Zeroizing;

use super::error::KeyFileError;

/// How long a key is, in bytes.
const KEY_LEN: usize = 32;
/// The largest file that is read, in bytes.
const FILE_MAX: u64 = 64 * 1024;
/// How many keys a file may hold.
const KEYS_MAX: usize = 100;
/// How much of the hash of a key is its name, in bytes.
const ID_LEN: usize = 8;
/// Before the key in what is hashed: the hash is good for nothing else.
const ID_OF: &[u8] = b"schedule-service key id\0";
const EXPECTED: &str = "expected 32 bytes in Base64 or in hexadecimal, as `schedule-service secret keygen` makes them";

/// A key, and the name by which a value tells that it encrypted it.
struct Key {
    id: String,
    bytes: Zeroizing<[u8; KEY_LEN]>,
}

/// The keys of a file: the first one encrypts, all decrypt.
#[derive(Default)]
pub struct KeyRing(Vec<Key>);

/// Something encrypted.
pub(super) struct Sealed {
    pub(super) key: String,
    pub(super) nonce: [u8; NONCE_LEN],
    pub(super) bytes: Vec<u8>,
}

/// How much longer a value is when it is encrypted, in bytes.
pub(super) const SEAL_LEN: usize = 16;

/// A new key, as it stands in a file of keys.
pub fn new_key() -> Zeroizing<String> {
    Zeroizing::new(STANDARD.encode(random::<KEY_LEN>()))
}

fn random<const N: usize>() -> Zeroizing<[u8; N]> {
    let mut bytes = Zeroizing::new([0; N]);
    SystemRandom::new().fill(&mut *bytes).expect("the system gives random bytes");
    bytes
}

impl KeyRing {
    /// Reads a file. One that others may read is refused: whoever has it has all secrets.
    pub fn load(path: &Path) -> Result<Self, KeyFileError> {
        read_whole(path).and_then(|text| Self::parse(&text)).map_err(|why| KeyFileError { path: path.to_owned(), why })
    }

    fn parse(text: &str) -> Result<Self, String> {
        let is_key = |line: &&(usize, &str)| !line.1.is_empty() && !line.1.starts_with('#');
        let lines = (1..).zip(text.lines().map(str::trim));
        let read =
            |(number, line): (usize, &str)| Key::parse(line).ok_or(format!("has no key in line {number}, {EXPECTED}"));
        let keys: Vec<Key> = lines.filter(|line| is_key(&line)).map(read).collect::<Result<_, _>>()?;
        match keys.len() {
            0 => Err(format!("holds no key, {EXPECTED}")),
            1..=KEYS_MAX => Ok(Self(keys)),
            count => Err(format!("holds {count} keys, expected at most {KEYS_MAX}")),
        }
    }

    /// Whether there is no key at all.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Encrypts by the first key. The context is no secret: with another one nothing is decrypted. `None`: there is no key.
    pub(super) fn seal(&self, text: &[u8], context: &[u8]) -> Option<Sealed> {
        let key = self.0.first()?;
        let nonce = *random::<NONCE_LEN>();
        // Room for the seal, so that the value is not left behind where it grows.
        let mut bytes = Vec::with_capacity(text.len() + SEAL_LEN);
        bytes.extend_from_slice(text);
        let sealed =
            key.cipher().seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(context), &mut bytes);
        sealed.expect("a short text can be encrypted");
        Some(Sealed { key: key.id.clone(), nonce, bytes })
    }

    /// Decrypts by the key that encrypted it. The error says what stands in the way.
    pub(super) fn open(&self, sealed: Sealed, context: &[u8]) -> Result<Zeroizing<Vec<u8>>, String> {
        let Sealed { key: id, nonce, bytes } = sealed;
        if self.is_empty() {
            return Err("it is encrypted in the store, and [secrets] key_file is not set".to_owned());
        }
        let Some(key) = self.0.iter().find(|key| key.id == id) else {
            return Err(format!("it was encrypted by the key {id}, which [secrets] key_file does not hold"));
        };
        let mut bytes = Zeroizing::new(bytes);
        let opened =
            key.cipher().open_in_place(Nonce::assume_unique_for_key(nonce), Aad::from(context), &mut bytes[..]);
        let len = opened.map_err(|_| format!("what the store holds was not encrypted so by the key {id}"))?.len();
        bytes.truncate(len);
        Ok(bytes)
    }
}

impl PartialEq for KeyRing {
    fn eq(&self, other: &Self) -> bool {
        self.0.iter().map(|key| &key.id).eq(other.0.iter().map(|key| &key.id))
    }
}

impl Key {
    fn parse(line: &str) -> Option<Self> {
        let decoded = Zeroizing::new(match line.len() {
            64 => from_hex(line)?,
            _ => STANDARD.decode(line).or_else(|_| STANDARD_NO_PAD.decode(line)).ok()?,
        });
        let bytes = Zeroizing::new(<[u8; KEY_LEN]>::try_from(&decoded[..]).ok()?);
        let mut hash = Context::new(&SHA256);
        hash.update(ID_OF);
        hash.update(&bytes[..]);
        let id = hash.finish().as_ref()[..ID_LEN].iter().map(|byte| format!("{byte:02x}")).collect();
        Some(Self { id, bytes })
    }

    fn cipher(&self) -> LessSafeKey {
        LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &self.bytes[..]).expect("the key has the length of one"))
    }
}

fn from_hex(line: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u32>> = line.chars().map(|letter| letter.to_digit(16)).collect();
    digits?.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).ok()).collect()
}

fn read_whole(path: &Path) -> Result<Zeroizing<String>, String> {
    let unreadable = |error: std::io::Error| format!("cannot be read: {error}");
    let file = File::open(path).map_err(unreadable)?;
    check_rights(&file.metadata().map_err(unreadable)?)?;
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(FILE_MAX).unwrap_or_default() + 1));
    file.take(FILE_MAX + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > FILE_MAX {
        return Err(format!("is too long, expected at most {FILE_MAX} bytes"));
    }
    std::str::from_utf8(&bytes).map(|text| Zeroizing::new(text.to_owned())).map_err(|_| "is not UTF-8".to_owned())
}

/// A group may read it: orchestrators give files to a group. What all may read, or others write, is no secret.
#[cfg(unix)]
fn check_rights(metadata: &fs::Metadata) -> Result<(), String> {
    use std::os::unix::fs::MetadataExt;
    const OF_OTHERS: u32 = 0o027;
    let rights = metadata.mode() & 0o777;
    if rights & OF_OTHERS == 0 {
        return Ok(());
    }
    Err(format!("has the rights {rights:03o}: others can read or write it, expected 600, 400, 640 or 440 (chmod 600)"))
}

#[cfg(not(unix))]
fn check_rights(_: &fs::Metadata) -> Result<(), String> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ring(lines: &[&str]) -> KeyRing {
        KeyRing::parse(&lines.join("\n")).unwrap()
    }

    #[test]
    fn keys_are_read_in_both_forms_with_remarks_between_them() {
        let (hex, base64) = ("00".repeat(31) + "fF", STANDARD.encode([7; 32]));

        let ring = ring(&["# the newest", &hex, "", &base64, base64.trim_end_matches('=')]);

        assert_eq!(ring.0.len(), 3);
        assert_eq!((ring.0[0].bytes[31], ring.0[1].bytes[0]), (0xff, 7));
        assert!(ring.0[1].id == ring.0[2].id && ring.0[0].id != ring.0[1].id && ring.0[0].id.len() == 16);
        assert_eq!(KeyRing::parse(&new_key()).unwrap().0.len(), 1);
        assert_ne!(new_key(), new_key());
    }

    #[test]
    fn what_is_no_key_is_told_by_its_line_and_never_shown() {
        for (text, begins) in [
            ("", "holds no key"),
            ("# none\n\n", "holds no key"),
            ("c2hvcnQ=", "has no key in line 1"),
            (&*format!("{}\nhunter2hunter2", *new_key()), "has no key in line 2"),
            (&*"zz".repeat(32), "has no key in line 1"),
        ] {
            let Err(why) = KeyRing::parse(text) else { panic!("{text}") };
            assert!(why.starts_with(begins) && !why.contains("hunter2") && !why.contains("zz"), "{why}");
        }
    }

    #[test]
    fn only_the_key_and_the_context_by_which_it_was_encrypted_decrypt_it() {
        let (one, other) = (new_key(), new_key());
        let both = ring(&[&other, &one]);
        let sealed = || ring(&[&one]).seal(b"value", b"name").unwrap();

        assert_eq!(both.open(sealed(), b"name").unwrap()[..], b"value"[..]);
        assert!(both.open(sealed(), b"other").unwrap_err().starts_with("what the store holds was not encrypted so"));
        assert!(
            ring(&[&other]).open(sealed(), b"name").unwrap_err().contains("which [secrets] key_file does not hold")
        );
        assert!(KeyRing::default().open(sealed(), b"name").unwrap_err().contains("key_file is not set"));
        assert_ne!(sealed().nonce, sealed().nonce);
        assert_eq!(sealed().bytes.len(), 5 + SEAL_LEN);
        let mut changed = sealed();
        changed.bytes[0] ^= 1;
        assert!(both.open(changed, b"name").is_err());
    }

    #[cfg(unix)]
    #[test]
    fn a_file_that_others_may_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys");
        fs::write(&path, &*new_key()).unwrap();
        let load = |mode: u32| {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            KeyRing::load(&path).map(|ring| ring.0.len()).map_err(|error| error.to_string())
        };

        for mode in [0o600, 0o400, 0o640, 0o440] {
            assert_eq!(load(mode), Ok(1));
        }
        for mode in [0o644, 0o604, 0o660, 0o602] {
            let error = load(mode).unwrap_err();
            assert!(
                error.contains(&format!("keys ([secrets] key_file) has the rights {mode:03o}: others can")),
                "{error}"
            );
        }
        assert!(KeyRing::load(&folder.path().join("none")).err().unwrap().to_string().contains("cannot be read"));
    }

    proptest! {
        #[test]
        fn no_file_of_keys_makes_it_panic(text in "(\\PC{0,70}|[0-9a-fA-F]{64}|\n|[A-Za-z0-9+/]{43}=){0,5}") {
            let _ = KeyRing::parse(&text);
        }
    }
}
