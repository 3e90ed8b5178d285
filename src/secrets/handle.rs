use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};

use log::info;

use super::Settings;
use super::error::{ChangeError, KeyFileError, SecretError, SecretProblem};
use super::folder::Files;
use super::keys::KeyRing;
use super::sealed::Document;
use super::vault::{self, Vault, Wish};
use super::watching;
use crate::clock::Clock;
use crate::model::{SecretName, SecretText, Timestamp};
use crate::store::{RegisterStore, StoreError};

/// The secrets as this node knows them. Cheap to clone; the loop that looks for changes ends with the last clone.
#[derive(Clone)]
pub struct Secrets(Arc<Inner>);

pub(super) struct Inner {
    pub(super) settings: Settings,
    clock: Arc<dyn Clock>,
    store: OnceLock<Arc<dyn RegisterStore>>,
    files: RwLock<Arc<Files>>,
    vault: RwLock<Arc<Vault>>,
}

/// Where a secret comes from. What is known in several places is taken from the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// A variable of the environment.
    Environment,
    /// A file of the folder.
    Folder,
    /// The encrypted part of the store.
    Store,
}

impl Source {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Environment => "environment",
            Self::Folder => "folder",
            Self::Store => "store",
        }
    }
}

/// What may be told of a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name.
    pub name: SecretName,
    /// Where it is known; the first one counts.
    pub sources: Vec<Source>,
    /// When it got its value, if that is known.
    pub changed: Option<Timestamp>,
    /// Who gave it that value, if that is known.
    pub by: Option<String>,
    /// Why it cannot be read.
    pub problem: Option<String>,
}

impl Secrets {
    /// Those of the environment and of the folder. A file of keys that cannot be used ends it.
    pub fn open(settings: &Settings, clock: Arc<dyn Clock>) -> Result<Self, KeyFileError> {
        let keys = settings.key_file.as_deref().map(KeyRing::load).transpose()?.unwrap_or_default();
        let files = settings.folder.as_deref().map(|folder| Files::look(folder, &Files::default()));
        let vault = Vault::new(0, Document::empty(), Arc::new(keys));
        let inner = Inner {
            settings: settings.clone(),
            clock,
            store: OnceLock::new(),
            files: RwLock::new(Arc::new(files.unwrap_or_default())),
            vault: RwLock::new(Arc::new(vault)),
        };
        Ok(Self(Arc::new(inner)))
    }

    /// Those of a store as well, and from now on what is changed. `is_shared`: other nodes change them, too.
    pub async fn follow(&self, store: Arc<dyn RegisterStore>, is_shared: bool) -> Result<(), StoreError> {
        let (version, document) = vault::read(store.as_ref()).await?;
        self.0.adopt(version, document);
        // A second store would be a mistake of the node, and the first one stays.
        if self.0.store.set(store).is_ok() {
            tokio::spawn(watching::watch(Arc::downgrade(&self.0), is_shared));
        }
        Ok(())
    }

    /// The value of a secret. It takes no time: all values are in memory.
    pub fn get(&self, name: &SecretName) -> Result<SecretText, SecretError> {
        if let Some(text) = self.0.settings.environment.get(name) {
            return Ok(text.clone());
        }
        let (files, vault) = (self.0.files(), self.0.vault());
        let found = files.get(name).or_else(|| vault.get(name).cloned());
        let problem = match (found, &files.problem) {
            (Some(Ok(text)), _) => return Ok(text),
            (Some(Err(why)), _) => SecretProblem::Unreadable { why },
            (None, Some(why)) => SecretProblem::Unreadable { why: why.clone() },
            (None, None) => SecretProblem::Unknown { looked_in: self.0.places() },
        };
        Err(SecretError { name: name.clone(), problem })
    }

    /// All that are known, in the order of their names.
    pub fn list(&self) -> Vec<Listed> {
        let mut all: BTreeMap<SecretName, Listed> = BTreeMap::new();
        let mut note = |name: &SecretName, source, told: (Option<Timestamp>, Option<&str>, Option<&str>)| {
            let (changed, by, problem) = (told.0, told.1.map(str::to_owned), told.2.map(str::to_owned));
            let listed = || Listed { name: name.clone(), sources: Vec::new(), changed, by, problem };
            all.entry(name.clone()).or_insert_with(listed).sources.push(source);
        };
        let (files, vault) = (self.0.files(), self.0.vault());
        self.0.settings.environment.keys().for_each(|name| note(name, Source::Environment, (None, None, None)));
        files.all().for_each(|(name, changed, problem)| note(name, Source::Folder, (changed, None, problem)));
        for (name, item) in vault.document.items() {
            let problem = vault.get(name).and_then(|opened| opened.as_ref().err());
            note(name, Source::Store, (Some(item.changed()), Some(&item.by), problem.map(String::as_str)));
        }
        all.into_values().collect()
    }

    /// Stores a secret. Gives the place that goes before the store, if it is known there as well.
    pub async fn set(&self, name: &SecretName, text: &SecretText, by: &str) -> Result<Option<Source>, ChangeError> {
        let max = SecretText::LEN_MAX;
        let len = text.expose().len();
        if !(1..=max).contains(&len) {
            return Err(ChangeError::Refused(format!("value: is {len} bytes long, expected 1 to {max}")));
        }
        self.change(Wish::Set { name, text, by, now: self.0.clock.now() }).await?;
        info!(secret = name.as_str(), by; "a secret was set");
        let listed = self.list().into_iter().find(|listed| listed.name == *name);
        let first = listed.and_then(|listed| listed.sources.first().copied());
        Ok(first.filter(|first| *first != Source::Store))
    }

    /// Takes a secret out of the store. `false`: it was not there.
    pub async fn remove(&self, name: &SecretName, by: &str) -> Result<bool, ChangeError> {
        let was_there = self.change(Wish::Remove(name)).await?;
        if was_there {
            info!(secret = name.as_str(), by; "a secret was deleted");
        }
        Ok(was_there)
    }

    /// Encrypts all secrets of the store anew, by the first key of the file as it is now. Gives how many there are.
    pub async fn rotate(&self, by: &str) -> Result<usize, ChangeError> {
        // Whoever has just written the file need not wait until it is looked at.
        let looking = self.0.clone();
        let looked = tokio::task::spawn_blocking(move || looking.look_at_keys()).await;
        looked.unwrap_or(Ok(())).map_err(|error| ChangeError::Refused(error.to_string()))?;
        self.change(Wish::Rotate).await?;
        let secrets = self.0.vault().document.len();
        info!(secrets, by; "the secrets of the store were encrypted anew");
        Ok(secrets)
    }

    /// Whether there was anything to be changed.
    async fn change(&self, wish: Wish<'_>) -> Result<bool, ChangeError> {
        let Some(store) = self.0.store.get() else {
            return Err(ChangeError::Refused("the store is not open yet".to_owned()));
        };
        let keys = self.0.vault().keys.clone();
        let changed = vault::change(store.as_ref(), &keys, wish).await?;
        let has_changed = changed.is_some();
        changed.into_iter().for_each(|(version, document)| self.0.adopt(version, document));
        Ok(has_changed)
    }
}

impl Inner {
    pub(super) fn files(&self) -> Arc<Files> {
        self.files.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn vault(&self) -> Arc<Vault> {
        self.vault.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on what the store holds is this, unless something newer is known.
    fn adopt(&self, version: u64, document: Document) {
        let mut vault = self.vault.write().unwrap_or_else(PoisonError::into_inner);
        if vault.is_older_than(version) {
            let next = Vault::new(version, document, vault.keys.clone());
            *vault = Arc::new(next);
        }
    }

    /// Looks at the folder. Reads files: not on a thread that others wait for.
    pub(super) fn look_at_files(&self) {
        let Some(folder) = &self.settings.folder else { return };
        let files = Arc::new(Files::look(folder, &self.files()));
        *self.files.write().unwrap_or_else(PoisonError::into_inner) = files;
    }

    /// Reads the file of keys, and uses them if they are others. Where it cannot be used those before stay.
    pub(super) fn look_at_keys(&self) -> Result<(), KeyFileError> {
        let Some(path) = &self.settings.key_file else { return Ok(()) };
        let keys = KeyRing::load(path)?;
        let mut vault = self.vault.write().unwrap_or_else(PoisonError::into_inner);
        if *vault.keys != keys {
            let next = vault.with_keys(Arc::new(keys));
            *vault = Arc::new(next);
        }
        Ok(())
    }

    /// Looks whether another node has changed what the store holds.
    pub(super) async fn look_at_store(&self) -> Result<(), StoreError> {
        let Some(store) = self.store.get() else { return Ok(()) };
        let (version, document) = vault::read(store.as_ref()).await?;
        self.adopt(version, document);
        Ok(())
    }

    /// Where secrets are looked for.
    fn places(&self) -> String {
        let folder = self.settings.folder.as_ref().map(|folder| format!(", {}", folder.display()));
        format!("the environment{}, the store", folder.unwrap_or_default())
    }
}
