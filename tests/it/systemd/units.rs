//! The units that are shipped.

use std::{fs, path::Path, process::Command};

use crate::support::Manager;

/// `systemctl --version` begins with `systemd 252 (…)`.
fn version() -> Option<u32> {
    let output = Command::new("systemctl").arg("--version").output().ok()?;
    String::from_utf8(output.stdout).ok()?.split(' ').nth(1)?.parse().ok()
}

#[test]
fn systemd_has_nothing_to_say_against_the_units_of_the_examples() {
    let Some(manager) = Manager::start() else { return };
    let version = version().expect("it is installed");
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/systemd");
    let place = manager.path("examples");
    fs::create_dir(&place).unwrap();
    for entry in fs::read_dir(&examples).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let text = fs::read_to_string(examples.join(&name)).unwrap();
        // Programs that are there.
        let text = text.replace("/usr/local/bin/server", "/bin/true").replace("/usr/local/bin/hotrestart", "/bin/true");
        fs::write(place.join(name), text).unwrap();
    }
    for entry in fs::read_dir(&place).unwrap() {
        let path = entry.unwrap().path();
        let run = manager.path("run");
        let verify = ["--user", "--man=no", "verify"];
        let output = Command::new("systemd-analyze").args(verify).arg(&path).env("XDG_RUNTIME_DIR", run).output();
        let output = output.expect("it comes with systemd");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        // It goes on without what it does not know, as it says.
        let unknown = |line: &str| version < 253 && (line.contains("notify-reload") || line.contains("ReloadSignal"));
        let against: Vec<_> = said.lines().filter(|line| !unknown(line)).collect();
        assert_eq!((output.status.success(), against), (true, vec![]), "{}", path.display());
    }
}
