//! A new program, without copying this process.

use std::{ffi::CStr, io, mem};

use nix::unistd::Pid;

use super::{
    Command, Handed, Process, clone,
    command::{Group, Prepared},
};

/// Whose child the new process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kinship {
    Child,
    /// Our parent's, as a service manager needs it to be that follows its own children only.
    Sibling,
}

/// Starts it.
///
/// It suspends the calling thread until the exec is done (1 to 9 ms with a cold binary), so call it on a thread of its
/// own. Errors of exec come back as what they are (`ENOENT`, `EACCES`, `ENOEXEC`).
pub(crate) fn spawn(command: &Command, handed: &Handed<'_>, kinship: Kinship) -> io::Result<Process> {
    let prepared = Prepared::new(command, handed)?;
    match kinship {
        Kinship::Child => child(&prepared),
        Kinship::Sibling => clone::sibling(&prepared),
    }
}

/// By `posix_spawn`.
fn child(it: &Prepared) -> io::Result<Process> {
    let mut actions = Actions::new()?;
    if let Some(directory) = &it.directory {
        actions.change_directory(directory)?;
    }
    for (from, to) in &it.maps {
        // Mapped onto itself: clears close-on-exec in the child only (glibc from 2.29, musl from 1.1).
        actions.map(*from, *to)?;
    }
    let mut attributes = Attributes::with_default_sigpipe()?;
    if it.group == Group::Own {
        attributes.in_a_group_of_its_own()?;
    }

    let mut pid: libc::pid_t = 0;
    // SAFETY: every pointer leads to a value that outlives the call; both arrays end with a null pointer and their
    // strings with a null byte. posix_spawn does not write through any of them but `pid`.
    let code = unsafe {
        libc::posix_spawn(
            &raw mut pid,
            it.program.as_ptr(),
            &raw const actions.0,
            &raw const attributes.0,
            it.arguments.as_ptr().cast(),
            it.environment.as_ptr().cast(),
        )
    };
    check(code)?;
    let pid = Pid::from_raw(pid);
    Process::of_child(pid).inspect_err(|_| end_unwatched(pid))
}

/// A child that can't be watched (no descriptor left for its pidfd) must not live on unseen.
fn end_unwatched(pid: Pid) {
    // It is our unreaped child, so the pid is surely its own; both can only say that it has ended already.
    let _ended = nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL);
    let _reaped = nix::sys::wait::waitpid(pid, None);
}

struct Actions(libc::posix_spawn_file_actions_t);

impl Actions {
    fn new() -> io::Result<Self> {
        // SAFETY: all-zero bytes are a valid value of a C struct of integers and pointers; init overwrites it.
        let mut actions = Self(unsafe { mem::zeroed() });
        // SAFETY: the pointer leads to memory of the right type.
        check(unsafe { libc::posix_spawn_file_actions_init(&raw mut actions.0) })?;
        Ok(actions)
    }

    fn map(&mut self, from: i32, to: i32) -> io::Result<()> {
        // SAFETY: `self.0` is initialised.
        check(unsafe { libc::posix_spawn_file_actions_adddup2(&raw mut self.0, from, to) })
    }

    fn change_directory(&mut self, to: &CStr) -> io::Result<()> {
        // SAFETY: `self.0` is initialised, and the path is copied.
        check(unsafe { libc::posix_spawn_file_actions_addchdir_np(&raw mut self.0, to.as_ptr()) })
    }
}

impl Drop for Actions {
    fn drop(&mut self) {
        // SAFETY: `self.0` is initialised and not used again.
        unsafe { libc::posix_spawn_file_actions_destroy(&raw mut self.0) };
    }
}

struct Attributes(libc::posix_spawnattr_t);

impl Attributes {
    /// Rust ignores SIGPIPE, and exec keeps "ignored": a program that is no Rust program would never learn that its
    /// pipe is closed. Nothing else is reset.
    fn with_default_sigpipe() -> io::Result<Self> {
        // SAFETY: as in `Actions::new`.
        let mut attributes = Self(unsafe { mem::zeroed() });
        // SAFETY: the pointer leads to memory of the right type.
        check(unsafe { libc::posix_spawnattr_init(&raw mut attributes.0) })?;
        // SAFETY: all-zero is a valid sigset; sigemptyset overwrites it.
        let mut signals: libc::sigset_t = unsafe { mem::zeroed() };
        // SAFETY: the pointer leads to a sigset.
        unsafe { libc::sigemptyset(&raw mut signals) };
        // SAFETY: the set is initialised, and SIGPIPE is a signal.
        unsafe { libc::sigaddset(&raw mut signals, libc::SIGPIPE) };
        // SAFETY: both are initialised.
        check(unsafe { libc::posix_spawnattr_setsigdefault(&raw mut attributes.0, &raw const signals) })?;
        attributes.set_flags(libc::POSIX_SPAWN_SETSIGDEF)?;
        Ok(attributes)
    }

    fn in_a_group_of_its_own(&mut self) -> io::Result<()> {
        // SAFETY: `self.0` is initialised; 0 means the child's own pid.
        check(unsafe { libc::posix_spawnattr_setpgroup(&raw mut self.0, 0) })?;
        self.set_flags(libc::POSIX_SPAWN_SETSIGDEF | libc::POSIX_SPAWN_SETPGROUP)
    }

    fn set_flags(&mut self, flags: libc::c_int) -> io::Result<()> {
        // SAFETY: `self.0` is initialised.
        check(unsafe { libc::posix_spawnattr_setflags(&raw mut self.0, flags as libc::c_short) })
    }
}

impl Drop for Attributes {
    fn drop(&mut self) {
        // SAFETY: `self.0` is initialised and not used again.
        unsafe { libc::posix_spawnattr_destroy(&raw mut self.0) };
    }
}

/// These functions return the error number, and leave errno alone.
fn check(code: libc::c_int) -> io::Result<()> {
    if code == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(code)) }
}

#[cfg(test)]
mod tests {
    use std::{
        collections::BTreeSet,
        fs::File,
        io::{BufRead, BufReader, Read, Seek, Write},
        os::fd::{AsFd, AsRawFd, BorrowedFd},
        os::unix::fs::PermissionsExt,
        path::Path,
        process::Stdio,
    };

    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

    use super::*;
    use crate::sys::{pipe, run_alone};

    const BOTH: [Kinship; 2] = [Kinship::Child, Kinship::Sibling];

    fn command(program: impl AsRef<Path>, arguments: &[&str]) -> Command {
        let program = program.as_ref().to_owned();
        let name = [program.clone().into_os_string()];
        let arguments = name.into_iter().chain(arguments.iter().map(Into::into)).collect();
        Command { program, arguments, environment: vec![("ANSWER".into(), "42".into())], directory: None }
    }

    fn shell(script: &str) -> Command {
        command("/bin/sh", &["-c", script])
    }

    fn wait(process: &Process) {
        let mut polled = [PollFd::new(process.as_fd(), PollFlags::POLLIN)];
        assert_eq!(poll(&mut polled, PollTimeout::from(60_000_u16)), Ok(1));
    }

    /// What it writes to its descriptor 2.
    fn says(command: &Command, handed: Handed<'_>, kinship: Kinship) -> String {
        let mut file = tempfile::tempfile().unwrap();
        let copy = file.try_clone().unwrap();
        let handed = Handed { stderr: Some(copy.as_fd()), channel: handed.channel, listed: handed.listed };
        wait(&spawn(command, &handed, kinship).unwrap());
        let mut said = String::new();
        file.rewind().unwrap();
        file.read_to_string(&mut said).unwrap();
        said
    }

    #[test]
    fn a_program_gets_its_arguments_environment_and_directory() {
        for kinship in BOTH {
            let script = "echo $1 $ANSWER $(pwd) >&2";
            let mut command = command("/bin/sh", &["-c", script, "sh", "argument"]);
            command.directory = Some("/".into());
            assert_eq!(says(&command, Handed::default(), kinship), "argument 42 /\n", "{kinship:?}");
        }
    }

    /// Two of them look at all that a program finds open, and there are tests that leave something open for whoever is
    /// started next. The third writes programs, and whatever is started meanwhile has them open for writing until its exec:
    /// such a file can't be executed.
    #[test]
    fn alone() {
        for test in ["errors_of_exec", "only_what_is_handed_on", "listed_descriptors"] {
            run_alone(&format!("sys::spawn::tests::{test}"));
        }
    }

    #[test]
    #[ignore = "run by `alone`"]
    fn errors_of_exec_come_back_as_what_they_are() {
        let place = tempfile::tempdir().unwrap();
        let file = |name: &str, contents: &[u8], mode| {
            let path = place.path().join(name);
            std::fs::write(&path, contents).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            path
        };
        let cases = [
            (place.path().join("missing"), libc::ENOENT),
            (file("interpreter", b"#!/nowhere/sh\n", 0o755), libc::ENOENT),
            (file("plain", b"#!/bin/sh\n", 0o644), libc::EACCES),
            (file("garbage", &[0xff; 64], 0o755), libc::ENOEXEC),
        ];
        for (program, code) in cases {
            for kinship in BOTH {
                let error = spawn(&command(&program, &[]), &Handed::default(), kinship).unwrap_err();
                assert_eq!(error.raw_os_error(), Some(code), "{} {kinship:?}", program.display());
            }
        }
        let mut nowhere = shell("exit");
        nowhere.directory = Some(place.path().join("missing"));
        for kinship in BOTH {
            let error = spawn(&nowhere, &Handed::default(), kinship).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::ENOENT), "{kinship:?}");
        }
    }

    #[test]
    #[ignore = "run by `alone`"]
    fn only_what_is_handed_on_is_open_in_the_program() {
        let (_read, channel) = pipe().unwrap();
        let _other = tempfile::tempfile().unwrap();
        for kinship in BOTH {
            let handed = Handed { channel: Some(channel.as_fd()), ..Handed::default() };
            let script = "exec >&2; for it in /proc/self/fd/*; do [ -e $it ] && echo ${it##*/}; done";
            let open = says(&shell(script), handed, kinship);
            let open: BTreeSet<i32> = open.lines().map(|it| it.parse().unwrap()).filter(|it| *it > 2).collect();
            let expected: BTreeSet<i32> = inherited_ourselves().chain([channel.as_raw_fd()]).collect();
            assert_eq!(open, expected, "{kinship:?}");
        }
    }

    /// What whoever started the tests has left open: it is passed on by everybody.
    fn inherited_ourselves() -> impl Iterator<Item = i32> {
        let open = std::fs::read_dir("/proc/self/fdinfo").unwrap().flatten();
        open.filter_map(|it| {
            let number = it.file_name().to_str()?.parse().ok().filter(|number| *number > 2)?;
            let info = std::fs::read_to_string(it.path()).ok()?;
            let flags = info.lines().find_map(|line| line.strip_prefix("flags:"))?.trim();
            (i32::from_str_radix(flags, 8).ok()? & libc::O_CLOEXEC == 0).then_some(number)
        })
    }

    /// Each place is another's number: without care, the first copied would overwrite the last.
    #[test]
    #[ignore = "run by `alone`"]
    fn listed_descriptors_are_at_their_places_though_their_numbers_overlap() {
        let files: Vec<File> = (0..40).map(|_| tempfile::tempfile().unwrap()).collect();
        for kinship in BOTH {
            let listed: Vec<BorrowedFd<'_>> = files.iter().rev().map(AsFd::as_fd).collect();
            let script = "for it in 3 4 10 41 42 43; do readlink /proc/self/fd/$it >&2 || echo none >&2; done";
            let handed = Handed { listed: listed.clone(), ..Handed::default() };
            let said = says(&shell(script), handed, kinship);
            let path = |at: usize| {
                let link = format!("/proc/self/fd/{}", listed[at].as_raw_fd());
                std::fs::read_link(link).unwrap().display().to_string()
            };
            let expected = [path(0), path(1), path(7), path(38), path(39), "none".into()];
            assert_eq!(said.lines().collect::<Vec<_>>(), expected, "{kinship:?}");
        }
    }

    #[test]
    fn signals_are_blocked_only_meanwhile_and_dispositions_are_as_exec_leaves_them() {
        for kinship in BOTH {
            let before = thread_mask();
            let said = says(
                &command("/bin/sh", &["-c", "grep -E 'Sig(Blk|Ign)' /proc/self/status >&2"]),
                Handed::default(),
                kinship,
            );
            assert_eq!(thread_mask(), before, "{kinship:?}");
            // Without the two that libc uses itself, and blocks as it likes.
            let set = |name: &str, of: &str| {
                let line = of.lines().find_map(|line| line.strip_prefix(name)).unwrap();
                u64::from_str_radix(line.trim(), 16).unwrap() & !(3 << 31)
            };
            let ours = std::fs::read_to_string("/proc/thread-self/status").unwrap();
            assert_eq!(set("SigBlk:", &said), set("SigBlk:", &ours), "{kinship:?}");
            let sigpipe = 1_u64 << (libc::SIGPIPE - 1);
            assert_ne!(set("SigIgn:", &ours) & sigpipe, 0, "Rust ignores SIGPIPE");
            assert_eq!(set("SigIgn:", &said), set("SigIgn:", &ours) & !sigpipe, "{kinship:?}");
        }
    }

    fn thread_mask() -> Vec<nix::sys::signal::Signal> {
        nix::sys::signal::SigSet::thread_get_mask().unwrap().iter().collect()
    }

    #[test]
    fn a_sibling_is_our_parents_child_and_its_end_is_seen() {
        let parent = nix::unistd::getppid();
        assert_eq!(says(&shell("echo $PPID >&2"), Handed::default(), Kinship::Sibling), format!("{parent}\n"));
        let own = std::process::id();
        assert_eq!(says(&shell("echo $PPID >&2"), Handed::default(), Kinship::Child), format!("{own}\n"));
    }

    #[test]
    fn a_sibling_can_be_killed() {
        let process = spawn(&command("/bin/sleep", &["600"]), &Handed::default(), Kinship::Sibling).unwrap();
        assert_eq!(process.reap(), None);
        process.end();
        assert!(crate::sys::has_ended(process.as_fd()));
    }

    /// Not a test: a process whose parent is under control. It starts a sibling that exits with 7, says what it sees of its
    /// end before and after its parent has reaped it.
    #[test]
    #[ignore = "started by the test after it"]
    fn one_that_starts_a_sibling() {
        let process = spawn(&shell("exit 7"), &Handed::default(), Kinship::Sibling).unwrap();
        wait(&process);
        let mut out = io::stdout();
        writeln!(out, "\nsibling {} {} {:?}", process.pid(), process.awaits_its_reaper(), process.reap()).unwrap();
        io::stdin().read_line(&mut String::new()).unwrap();
        let code = process.reap().and_then(|status| status.code());
        writeln!(out, "\nreaped {} {code:?}", process.awaits_its_reaper()).unwrap();
    }

    #[test]
    fn how_a_sibling_ended_is_known_once_its_parent_has_reaped_it() {
        let mut starter = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["sys::spawn::tests::one_that_starts_a_sibling", "--exact", "--ignored", "--nocapture"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(starter.stdout.take().unwrap()).lines();
        let mut lines = lines.map(Result::unwrap).filter(|it| it.starts_with("sibling ") || it.starts_with("reaped "));
        let sibling = lines.next().unwrap();
        let [_, pid, waits, status] = sibling.split(' ').collect::<Vec<_>>()[..] else { panic!("{sibling}") };
        // It is this process's child, and so reaped here and nowhere else.
        let pid = Pid::from_raw(pid.parse().unwrap());
        assert_eq!(nix::sys::wait::waitpid(pid, None), Ok(nix::sys::wait::WaitStatus::Exited(pid, 7)));
        starter.stdin.take().unwrap().write_all(b"\n").unwrap();
        let after = lines.next().unwrap();
        assert!(starter.wait().unwrap().success());
        // A kernel before 6.15 never says.
        let known = (waits, status, after.as_str()) == ("true", "None", "reaped false Some(7)");
        let unknown = (status, after.as_str()) == ("None", "reaped false None");
        assert!(known || unknown && !kernel_says_how_siblings_end(), "{sibling}; {after}");
    }

    fn kernel_says_how_siblings_end() -> bool {
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
        let mut numbers = release.split('.').map(|it| it.parse::<u32>().unwrap_or(0));
        (numbers.next(), numbers.next()) >= (Some(6), Some(15))
    }

    /// Not a test: what is started by the one after it, as the child of a shell.
    #[test]
    #[ignore = "started by the test after it"]
    fn one_that_starts_a_thousand_siblings() {
        let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
        let before = open();
        for _ in 0..900 {
            assert!(spawn(&command("/nowhere", &[]), &Handed::default(), Kinship::Sibling).is_err());
        }
        for _ in 0..100 {
            wait(&spawn(&command("/bin/true", &[]), &Handed::default(), Kinship::Sibling).unwrap());
        }
        assert_eq!(open(), before);
    }

    /// A shell reaps whatever child it has while it waits for one. Whoever has started the tests need not do that, and the
    /// system has room for so many zombies only.
    #[test]
    fn a_thousand_siblings_cost_no_descriptor() {
        let starter = "sys::spawn::tests::one_that_starts_a_thousand_siblings --exact --ignored --quiet";
        let status = std::process::Command::new("/bin/sh")
            .args(["-c", &format!("\"$0\" {starter} > /dev/null; exit $?")])
            .arg(std::env::current_exe().unwrap())
            .status()
            .unwrap();
        assert!(status.success());
    }
}
