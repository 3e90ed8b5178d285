//! What a crash leaves behind must not hold secrets.

use log::warn;

/// From now on the system writes no memory of this process into a file when it crashes, and lets no other process of the same user
/// look into it.
pub fn refuse_core_dumps() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, setrlimit};
        let none = Rlimit { current: Some(0), maximum: Some(0) };
        if let Err(error) = setrlimit(Resource::Core, none) {
            warn!("core dumps cannot be refused: {error}");
        }
    }
    // A limit does not hold for dumps that go to a program.
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable) {
        warn!("core dumps cannot be refused: {error}");
    }
}
