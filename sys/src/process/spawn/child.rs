//! What the child does between fork and execve, and what the parent prepares for it.

use std::convert::Infallible;
use std::ffi::{CString, OsStr, OsString};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::ptr;

use nix::errno::Errno;
use nix::sys::signal::SigSet;

use super::{Group, Signal, SpawnError, SpawnRequest, Stage, Stream, UserIds, above_standard, c_string};

/// How often a program is tried that somebody has open for writing: who wrote it forked meanwhile, and the child
/// holds the descriptor until its own execve. See ETXTBSY in execve(2).
const BUSY_TRIES: u32 = 200;
/// The pause between two tries.
const BUSY_PAUSE: libc::timespec = libc::timespec {
    tv_sec: 0,
    tv_nsec: 10_000_000,
};

/// Everything that the child needs, so that it need not allocate.
pub(super) struct Prepared {
    candidates: Vec<CString>,
    argv: Pointers,
    environment: Pointers,
    folder: Option<CString>,
    streams: [Option<OwnedFd>; 3],
    user: Option<UserIds>,
    group: Group,
    parent_death_signal: Option<Signal>,
    process_limit: Option<u64>,
}

/// Strings, and the null-terminated array of pointers to them that execve(2) takes.
struct Pointers {
    pointers: Vec<*const libc::c_char>,
    _strings: Vec<CString>,
}

impl Pointers {
    fn new(strings: Vec<CString>) -> Self {
        let mut pointers: Vec<_> = strings.iter().map(|string| string.as_ptr()).collect();
        pointers.push(ptr::null());
        Self {
            pointers,
            _strings: strings,
        }
    }
}

impl Prepared {
    pub(super) fn new(request: &SpawnRequest<'_>) -> Result<Self, SpawnError> {
        let program = request
            .argv
            .first()
            .ok_or(SpawnError::Request("the command has no words"))?;
        if program.is_empty() {
            return Err(SpawnError::Request("the command is empty"));
        }
        let argv = request
            .argv
            .iter()
            .map(|word| c_string(word))
            .collect::<Result<_, _>>()?;
        let environment = request
            .environment
            .iter()
            .map(|(name, value)| {
                let mut line = name.clone();
                line.push("=");
                line.push(value);
                c_string(&line)
            })
            .collect::<Result<_, _>>()?;
        Ok(Self {
            candidates: candidates(program, &request.environment)?,
            argv: Pointers::new(argv),
            environment: Pointers::new(environment),
            folder: request
                .folder
                .as_ref()
                .map(|folder| c_string(folder.as_os_str()))
                .transpose()?,
            streams: [
                copy(&request.stdin)?,
                copy(&request.stdout)?,
                copy(&request.stderr)?,
            ],
            user: request.user,
            group: request.group,
            parent_death_signal: request.parent_death_signal,
            process_limit: request.process_limit,
        })
    }

    /// Becomes the command, or writes stage and error number to `report` and ends.
    pub(super) fn execute(&self, report: RawFd, parent: libc::pid_t) -> ! {
        let (stage, errno) = match self.become_command(parent) {
            Ok(never) => match never {},
            Err(failure) => failure,
        };
        let [a, b, c, d] = errno.to_ne_bytes();
        let message = [stage.number(), a, b, c, d];
        // SAFETY: the message is alive and this long; the descriptor is the pipe that the parent reads.
        unsafe { libc::write(report, message.as_ptr().cast(), message.len()) };
        // SAFETY: ends at once, without running anything of the parent's.
        unsafe { libc::_exit(127) }
    }

    fn become_command(&self, parent: libc::pid_t) -> Result<Infallible, (Stage, i32)> {
        self.enter_group().map_err(at(Stage::Group))?;
        self.place_streams().map_err(at(Stage::Streams))?;
        if let Some(folder) = &self.folder {
            // SAFETY: the path is alive and ends in a zero byte.
            check(unsafe { libc::chdir(folder.as_ptr()) }.into()).map_err(at(Stage::Folder))?;
        }
        if let Some(user) = self.user {
            change_user(user).map_err(at(Stage::User))?;
        }
        if let Some(limit) = self.process_limit {
            limit_processes(limit).map_err(at(Stage::Limit))?;
        }
        // After the change of user, which clears it.
        if let Some(signal) = self.parent_death_signal {
            ask_for_parent_death_signal(signal, parent).map_err(at(Stage::ParentDeath))?;
        }
        reset_signals();
        self.replace_image().map_err(at(Stage::Execute))
    }

    fn enter_group(&self) -> Result<(), i32> {
        match self.group {
            Group::Inherit => Ok(()),
            // SAFETY: takes integers only.
            Group::New => check(unsafe { libc::setpgid(0, 0) }.into()),
            // SAFETY: takes nothing.
            Group::NewSession => check(unsafe { libc::setsid() }.into()),
        }
    }

    fn place_streams(&self) -> Result<(), i32> {
        for (stream, target) in self.streams.iter().zip(0..) {
            if let Some(descriptor) = stream {
                // SAFETY: takes integers only; every source is above 2, so no target is a later source.
                check(unsafe { libc::dup2(descriptor.as_raw_fd(), target) }.into())?;
            }
        }
        // Whatever this process inherited itself goes no further. Kernels before 5.11 cannot, which is
        // no reason not to start.
        // SAFETY: takes integers only, and only marks descriptors, for the execve.
        unsafe { libc::syscall(libc::SYS_close_range, 3, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) };
        Ok(())
    }

    /// Tries each candidate as execvp(3) does: a refusal is told only when no other candidate works.
    fn replace_image(&self) -> Result<Infallible, i32> {
        let (argv, environment) = (self.argv.pointers.as_ptr(), self.environment.pointers.as_ptr());
        let mut refused = libc::ENOENT;
        for candidate in &self.candidates {
            let mut tries = BUSY_TRIES;
            let error = loop {
                // SAFETY: the path ends in a zero byte, both arrays end in a null pointer, and all strings
                // that they point to live in `self`.
                unsafe { libc::execve(candidate.as_ptr(), argv, environment) };
                let error = Errno::last_raw();
                tries -= 1;
                if error != libc::ETXTBSY || tries == 0 {
                    break error;
                }
                // SAFETY: `BUSY_PAUSE` is a valid time, and null means that the rest is not wanted.
                unsafe { libc::nanosleep(&BUSY_PAUSE, ptr::null_mut()) };
            };
            match error {
                libc::ENOENT | libc::ENOTDIR => {}
                libc::EACCES => refused = libc::EACCES,
                other => return Err(other),
            }
        }
        Err(refused)
    }
}

fn at(stage: Stage) -> impl FnOnce(i32) -> (Stage, i32) {
    move |errno| (stage, errno)
}

fn check(result: libc::c_long) -> Result<(), i32> {
    if result == -1 {
        Err(Errno::last_raw())
    } else {
        Ok(())
    }
}

/// By system call: libc's own functions would tell the threads of the parent, which this child has not.
fn change_user(user: UserIds) -> Result<(), i32> {
    let no_groups: *const libc::gid_t = ptr::null();
    // SAFETY: with a count of 0 the kernel reads no list.
    if let Err(refusal) = check(unsafe { libc::syscall(libc::SYS_setgroups, 0, no_groups) }) {
        // Without the privilege it is refused even where there is nothing to drop.
        // SAFETY: with a count of 0 the kernel writes no list and says how many there are.
        if unsafe { libc::syscall(libc::SYS_getgroups, 0, no_groups) } != 0 {
            return Err(refusal);
        }
    }
    // SAFETY: takes integers only.
    check(unsafe { libc::syscall(libc::SYS_setresgid, user.gid, user.gid, user.gid) })?;
    // SAFETY: takes integers only.
    check(unsafe { libc::syscall(libc::SYS_setresuid, user.uid, user.uid, user.uid) })
}

fn limit_processes(limit: u64) -> Result<(), i32> {
    let limit = libc::rlimit {
        rlim_cur: limit,
        rlim_max: limit,
    };
    // SAFETY: the kernel reads the limit, which is alive, and writes no old one.
    check(unsafe { libc::prlimit(0, libc::RLIMIT_NPROC, &raw const limit, ptr::null_mut()) }.into())
}

fn ask_for_parent_death_signal(signal: Signal, parent: libc::pid_t) -> Result<(), i32> {
    if nix::sys::prctl::set_pdeathsig(signal).is_err() {
        return Err(Errno::last_raw());
    }
    // SAFETY: takes nothing and cannot fail.
    let now = unsafe { libc::getppid() };
    // 0: the parent is outside the PID namespace that this child is the init of.
    if now == parent || now == 0 {
        Ok(())
    } else {
        Err(libc::ESRCH)
    }
}

/// Every signal gets its default effect, and then none is blocked.
///
/// By system call: libc refuses the signals that it uses itself, and this process may have inherited those as
/// ignored. The kernel refuses KILL and STOP, which need it not.
fn reset_signals() {
    // The kernel's `struct sigaction` with nothing set; it is 32 bytes at most.
    let default = [0_u64; 4];
    let no_old: *mut u64 = ptr::null_mut();
    for signal in 1..=64 {
        // SAFETY: the kernel reads the struct, which is alive and large enough, and writes none; a set of
        // signals has 8 bytes.
        unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), no_old, 8) };
    }
    // It cannot fail: the arguments are in order.
    let _ = SigSet::empty().thread_set_mask();
}

/// A second descriptor of the same file, above the standard ones; the request keeps its own.
fn copy(stream: &Stream) -> Result<Option<OwnedFd>, SpawnError> {
    match stream {
        Stream::Inherit => Ok(None),
        Stream::Descriptor(descriptor) => {
            let copy = descriptor.try_clone().map_err(SpawnError::Fork)?;
            above_standard(copy).map(Some)
        }
    }
}

fn candidates(program: &OsStr, environment: &[(OsString, OsString)]) -> Result<Vec<CString>, SpawnError> {
    if program.as_bytes().contains(&b'/') {
        return Ok(vec![c_string(program)?]);
    }
    let path = environment
        .iter()
        .find(|(name, _)| name == "PATH")
        .map(|(_, value)| value.as_bytes());
    path.unwrap_or_default()
        .split(|&byte| byte == b':')
        // An empty entry would mean the working directory; a command is never taken from there.
        .filter(|folder| !folder.is_empty())
        .map(|folder| c_string(&OsString::from_vec([folder, b"/", program.as_bytes()].concat())))
        .collect()
}
