//! A systemd of the test's own: the real one, run as `--user`.

use std::{
    env, fs,
    os::unix::{fs::PermissionsExt, net::UnixDatagram},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use tempfile::TempDir;

use super::{Fleet, Setup, not_run, process};

/// Where distributions have it.
const PROGRAMS: [&str; 2] = ["/usr/lib/systemd/systemd", "/lib/systemd/systemd"];

/// A bound for a manager that never comes up, and never part of what is tested.
const PATIENCE: Duration = Duration::from_secs(30);

/// Begins the manager in the control group `$2`, and kills all that is in there when its input ends: by `drop`, or because
/// the tests have ended in whatever way. (`$0` is what follows, `$1` the place, `$3` the manager's program.)
const KEEP: &str = r#"
trap '' INT
{ unshare --mount sh -c "$0" "$@" <&-; : >"$1/ended"; } >>"$1/begun" 2>&1 &
cat
echo 1 >"$2/cgroup.kill"
while grep -q 'populated 1' "$2/cgroup.events"; do sleep 0.01; done
find "$2" -depth -type d -exec rmdir {} +
wait
"#;

/// In a mount namespace of its own the manager finds what it asks for on a machine that was not booted with systemd: the
/// directory that says so, the second version of control groups, and a journal to write to, which is ours. In a control
/// group of its own it governs what is below that, and nothing else on the machine: in the root group it would move
/// everybody's processes.
const BEGIN: &str = r#"
set -eu
trap - INT
echo $$ >"$1/cgroup.procs"
mount --make-rprivate /
[ -d /run/systemd/system ] || { mount -t tmpfs tmpfs /run; mkdir -p /run/systemd/system; }
[ "$(stat -f -c %T /sys/fs/cgroup)" = cgroup2fs ] || mount -t cgroup2 none /sys/fs/cgroup
mkdir -p /run/systemd/journal
[ -e /run/systemd/journal/socket ] || : >/run/systemd/journal/socket
mount --bind "$0/journal" /run/systemd/journal/socket
exec "$2" --user --unit=default.target </dev/null
"#;

/// How a unit restarts the server, where there is no program to ask it.
const RELOAD: &str = "ExecReload=/bin/kill -USR2 $MAINPID";

/// The text of a unit that is shipped.
pub fn example(unit: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/systemd").join(unit);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Units that the test wrote, and no others. Dropped, it takes all of their processes with it.
#[derive(Debug)]
pub struct Manager {
    /// `run` is `XDG_RUNTIME_DIR`, `units` its only place for units.
    place: TempDir,
    /// Of the shell that keeps it. Its input ends with this process, however that ends.
    keeper: Child,
    group: PathBuf,
    log: Arc<Mutex<String>>,
}

impl Manager {
    /// `None` where there can be none (it is not installed, or this is not root, who alone may give it a mount namespace and
    /// a control group of its own), which the output of the tests says, and why. With `HR_REQUIRE_SYSTEMD` in the
    /// environment that is a failure.
    #[track_caller]
    pub fn start() -> Option<Self> {
        match Self::try_start() {
            Ok(manager) => Some(manager),
            Err(why) => {
                not_run("SYSTEMD", &format!("no systemd to test with: {why}"));
                None
            }
        }
    }

    fn try_start() -> Result<Self, String> {
        let program = PROGRAMS.into_iter().find(|path| Path::new(path).exists());
        let program = program.ok_or_else(|| format!("none is installed at {}", PROGRAMS.join(" or ")))?;
        let place = tempfile::tempdir().expect("a temporary directory");
        let run = place.path().join("run");
        let units = place.path().join("units");
        for directory in [&run, &units] {
            fs::create_dir(directory).expect("made");
            fs::set_permissions(directory, fs::Permissions::from_mode(0o700)).expect("ours");
        }
        // Without the user's own units these are all that a manager asks for.
        for target in ["basic", "default", "shutdown", "sockets"] {
            let unit = units.join(format!("{target}.target"));
            fs::write(unit, "[Unit]\nDefaultDependencies=no\n").expect("written");
        }
        let notify = UnixDatagram::bind(place.path().join("notify")).expect("bound");
        let journal = UnixDatagram::bind(place.path().join("journal")).expect("bound");
        let group = group()?;
        let keeper = Command::new("sh")
            .args(["-c", KEEP, BEGIN])
            .args([place.path(), &group, Path::new(program)])
            .env_clear()
            .envs(env::var_os("PATH").map(|path| ("PATH", path)))
            .env("HOME", place.path())
            .env("XDG_RUNTIME_DIR", run)
            .env("SYSTEMD_UNIT_PATH", units)
            .env("SYSTEMD_LOG_TARGET", "journal")
            .env("NOTIFY_SOCKET", place.path().join("notify"))
            .stdin(Stdio::piped())
            .spawn();
        let manager = Self { keeper: keeper.expect("a shell"), group, place, log: keep_log(journal) };
        if manager.is_up(&notify) {
            return Ok(manager);
        }
        let begun = fs::read_to_string(manager.path("begun")).unwrap_or_default();
        Err(format!("it does not start: {begun}{}", manager.log()))
    }

    /// It says so by its own protocol.
    fn is_up(&self, notify: &UnixDatagram) -> bool {
        notify.set_read_timeout(Some(Duration::from_millis(20))).expect("set");
        let end = Instant::now() + PATIENCE;
        let mut bytes = [0; 4096];
        while Instant::now() < end {
            match notify.recv(&mut bytes) {
                Ok(count) if bytes[..count].split(|byte| *byte == b'\n').any(|line| line == b"READY=1") => return true,
                Ok(_) => {}
                // It may have ended, with nobody left to say anything.
                Err(_) if self.path("ended").exists() => return false,
                Err(_) => {}
            }
        }
        false
    }

    /// Writes a unit, and has the manager read all of them again.
    pub fn unit(&self, name: &str, text: &str) -> PathBuf {
        let path = self.place.path().join("units").join(name);
        fs::write(&path, text).expect("written");
        self.ctl(["daemon-reload"]);
        path
    }

    /// A service whose main process is the server under test. `text` is its unit up to and with the lines of `[Service]`
    /// that say how it is governed. It is not started.
    pub fn service(&self, name: &str, text: &str, setup: Setup) -> Fleet {
        let (lines, fleet) = setup.into_service();
        self.unit(&format!("{name}.service"), &format!("{text}\n{lines}"));
        fleet
    }

    /// The same with a unit of `examples/systemd`, as `server.service`. Where a line begins as one of `changes` does, up to
    /// the `=`, that one takes its place; others are added to `[Service]`.
    pub fn shipped(&self, unit: &str, setup: Setup, changes: &[&str]) -> Fleet {
        let (mut lines, fleet) = setup.into_service();
        let text = example(unit);
        let key = |line: &str| line.split_once('=').map(|(key, _)| key.to_owned());
        let (mut changes, added): (Vec<_>, Vec<_>) =
            changes.iter().partition(|change| text.lines().any(|line| key(line) == key(change)));
        // No systemd is tested with a program that is not there, and a dump of a killed test would fill the disk.
        changes.push(&RELOAD);
        added.iter().for_each(|line| lines += &format!("{line}\n"));
        lines += "LimitCORE=0";
        let line = |line: &str| match key(line).as_deref() {
            Some("ExecStart") => lines.clone(),
            Some(_) => changes.iter().find(|change| key(change) == key(line)).map_or(line, |change| change).to_owned(),
            None => line.to_owned(),
        };
        let text: Vec<_> = text.lines().map(line).collect();
        self.unit("server.service", &text.join("\n"));
        fleet
    }

    /// `systemctl`, for what is to go on while it waits.
    pub fn systemctl<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = Command::new("systemctl");
        command.arg("--user").args(arguments).env_remove("DBUS_SESSION_BUS_ADDRESS");
        command.env("XDG_RUNTIME_DIR", self.place.path().join("run"));
        command
    }

    /// Waits until it is done, whatever its outcome is.
    pub fn try_ctl<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Output {
        self.systemctl(arguments).stdin(Stdio::null()).output().expect("systemctl starts")
    }

    /// Waits until it is done, and it went well.
    #[track_caller]
    pub fn ctl<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> String {
        let output = self.try_ctl(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}\nlog of the manager:\n{}", self.log());
        String::from_utf8(output.stdout).expect("UTF-8")
    }

    /// A property of a unit: `MainPID`, `ActiveState`, `StatusText`, `NRestarts`, `Result`, `NFileDescriptorStore`, …
    #[track_caller]
    pub fn show(&self, unit: &str, property: &str) -> String {
        self.ctl(["show", "--value", "--property", property, unit]).trim_end().to_owned()
    }

    /// 0 where it has none.
    #[track_caller]
    pub fn main_pid(&self, unit: &str) -> i32 {
        self.show(unit, "MainPID").parse().expect("a pid")
    }

    /// Waits until a property is so.
    #[track_caller]
    pub fn until(&self, unit: &str, property: &str, value: &str) {
        process::until(|| self.show(unit, property) == value);
    }

    /// All processes in a unit's control group, none where it is gone.
    pub fn processes(&self, unit: &str) -> Vec<i32> {
        let listed = fs::read_to_string(self.group.join("app.slice").join(unit).join("cgroup.procs"));
        listed.unwrap_or_default().lines().map(|pid| pid.parse().expect("a pid")).collect()
    }

    /// What the manager had to say.
    pub fn log(&self) -> String {
        self.log.lock().expect("no panic").clone()
    }

    /// Where what units need may lie.
    pub fn path(&self, name: &str) -> PathBuf {
        self.place.path().join(name)
    }
}

/// The messages of what is written to a journal, a line each.
fn keep_log(journal: UnixDatagram) -> Arc<Mutex<String>> {
    let log = Arc::<Mutex<String>>::default();
    // While anybody may look: a manager whose journal nobody reads waits for it.
    let kept = Arc::downgrade(&log);
    journal.set_read_timeout(Some(Duration::from_millis(100))).expect("set");
    std::thread::spawn(move || {
        let mut bytes = vec![0; 65536];
        while let Some(log) = kept.upgrade() {
            if let Ok(count) = journal.recv(&mut bytes) {
                let entry = String::from_utf8_lossy(&bytes[..count]);
                let messages = entry.lines().filter_map(|line| line.strip_prefix("MESSAGE="));
                log.lock().expect("no panic").extend(messages.flat_map(|message| [message, "\n"]));
            }
        }
    });
    log
}

/// A new control group, below this process's own.
fn group() -> Result<PathBuf, String> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let mounts = fs::read_to_string("/proc/self/mounts").expect("/proc");
    let mut mounts = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    let mount = mounts.find(|fields| fields[2] == "cgroup2").ok_or("control groups of version 2 are not mounted")?[1];
    let own = fs::read_to_string("/proc/self/cgroup").expect("/proc");
    let own = own.lines().find_map(|line| line.strip_prefix("0::/")).ok_or("this process is in no control group")?;
    let name = format!("hotrestart-{}-{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed));
    let group = Path::new(mount).join(own).join(name);
    fs::create_dir(&group).map_err(|error| format!("make the control group {}: {error}", group.display()))?;
    if group.join("cgroup.kill").exists() {
        return Ok(group);
    }
    fs::remove_dir(&group).expect("it is empty");
    Err("this kernel can't kill a control group, as Linux 5.14 and newer can".to_owned())
}

impl Drop for Manager {
    /// Not by asking: a unit that does not end in its time would hold the tests up.
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        if let Err(error) = self.keeper.wait() {
            eprintln!("wait for the manager's keeper: {error}");
        }
    }
}
