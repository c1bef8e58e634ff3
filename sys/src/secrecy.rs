//! Keeping a secret from other processes of the same user, and the score of the kernel's OOM killer, whose file
//! a process that keeps secrets can no longer open.
//!
//! The order matters: [`OomScore::open`] while the process is dumpable, then [`become_undumpable`], then the
//! first child.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;

/// Makes this process unreadable for others of the same user: `/proc/PID/environ` and `mem`, ptrace and core
/// files are for root alone. A child is readable again after its execve.
///
/// # Errors
/// What `prctl` says.
pub fn become_undumpable() -> io::Result<()> {
    Ok(nix::sys::prctl::set_dumpable(false)?)
}

/// Overwrites the environment block that the kernel shows as `/proc/PID/environ`, and returns what was in the
/// environment. `std::env` and C's `getenv` find what `keep` approves of, by name, from then on.
///
/// # Errors
/// Unless `/proc` says that this process has a single thread, nothing is done: another thread might read the
/// environment meanwhile.
pub fn scrub_environment(keep: impl Fn(&OsStr) -> bool) -> io::Result<Vec<(OsString, OsString)>> {
    let stat = Stat::read()?;
    if stat.threads != 1 {
        return Err(io::Error::other(format!(
            "{} threads run, and there may be only one",
            stat.threads
        )));
    }
    let variables: Vec<(OsString, OsString)> = std::env::vars_os().collect();
    // SAFETY: this is the only thread, so nothing reads the environment meanwhile.
    if unsafe { libc::clearenv() } != 0 {
        return Err(io::Error::other("the environment could not be cleared"));
    }
    stat.environment.for_each_byte_address(|address| {
        // SAFETY: the kernel placed the block at these addresses at the execve; it is readable and writable for
        // the life of the process, and no reference into it exists: `clearenv` dropped the pointers, and
        // `vars_os` made copies. Volatile, because nothing in this program reads it again.
        unsafe { std::ptr::write_volatile(address, 0) }
    });
    for (name, value) in variables.iter().filter(|(name, _)| keep(name)) {
        // SAFETY: this is the only thread.
        unsafe { std::env::set_var(name, value) };
    }
    Ok(variables)
}

/// What this module needs of `/proc/self/stat`.
struct Stat {
    threads: u32,
    environment: Block,
}

struct Block(Range<usize>);

impl Block {
    fn for_each_byte_address(&self, mut act: impl FnMut(*mut u8)) {
        for address in self.0.clone() {
            act(std::ptr::with_exposed_provenance_mut(address));
        }
    }
}

impl Stat {
    fn read() -> io::Result<Self> {
        let text = fs::read("/proc/self/stat")?;
        Self::parse(&text).ok_or_else(|| io::Error::other("/proc/self/stat has another shape"))
    }

    /// Fields 20, 50 and 51 of proc_pid_stat(5). The second, the name, may hold anything, so count from its
    /// last bracket: the field after it is the third.
    fn parse(text: &[u8]) -> Option<Self> {
        let after_name = text.iter().rposition(|&byte| byte == b')')? + 1;
        let rest = std::str::from_utf8(text.get(after_name..)?).ok()?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let field = |number: usize| fields.get(number - 3);
        let start: usize = field(50)?.parse().ok()?;
        let end: usize = field(51)?.parse().ok()?;
        // Zeros are what a process sees that may not see them.
        if start == 0 || end < start {
            return None;
        }
        Some(Self {
            threads: field(20)?.parse().ok()?,
            environment: Block(start..end),
        })
    }
}

/// How much more willing the kernel's OOM killer is to take a child than its parent.
const CHILD_SURPLUS: i32 = 100;
/// The largest score, from proc_pid_oom_score_adj(5).
const LARGEST: i32 = 1000;

/// This process's `oom_score_adj`, kept open.
///
/// Open it before [`become_undumpable`]: afterwards the file belongs to root.
#[derive(Debug)]
pub struct OomScore {
    file: File,
    own: i32,
}

impl OomScore {
    /// Opens it and reads this process's own score.
    ///
    /// # Errors
    /// What opening and reading say.
    pub fn open() -> io::Result<Self> {
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .open("/proc/self/oom_score_adj")?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        let own = text.trim().parse().map_err(io::Error::other)?;
        Ok(Self { file, own })
    }

    /// This process's own score.
    #[must_use]
    pub fn own(&self) -> i32 {
        self.own
    }

    /// The score that children get.
    #[must_use]
    pub fn of_children(&self) -> i32 {
        self.own.saturating_add(CHILD_SURPLUS).min(LARGEST)
    }

    /// Raises this process's score until the guard is dropped, so that a child that is forked meanwhile has it
    /// from its first instruction. [`spawn`](crate::process::spawn) does it.
    ///
    /// Best effort: where the kernel refuses, the child has its parent's score, and is started all the same.
    #[must_use]
    pub fn raise(&self) -> Raised<'_> {
        self.write(self.of_children());
        Raised(self)
    }

    fn write(&self, score: i32) {
        let mut file = &self.file;
        let _ = file
            .seek(SeekFrom::Start(0))
            .and_then(|_| file.write_all(score.to_string().as_bytes()));
    }
}

/// While it lives, this process has the score of its children.
#[derive(Debug)]
pub struct Raised<'score>(&'score OomScore);

impl Drop for Raised<'_> {
    fn drop(&mut self) {
        self.0.write(self.0.own);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stat_line_is_read_behind_a_hostile_name() {
        let mut line = String::from("1 (a) 5 (b) S");
        for number in 4..=51 {
            line.push_str(&format!(" {number}"));
        }

        let stat = Stat::parse(line.as_bytes()).expect("it has the shape");

        assert_eq!(stat.threads, 20);
        assert_eq!(stat.environment.0, 50..51);
    }

    #[test]
    fn a_program_with_several_threads_is_not_scrubbed() {
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let other = std::thread::spawn(move || stopped.recv());

        let refused = scrub_environment(|_| true);

        drop(stop);
        let _ = other.join();
        assert!(refused.is_err());
        assert!(std::env::var_os("PATH").is_some());
    }
}
