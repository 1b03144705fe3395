use std::{fs, process::Stdio};

use anyhow::Context;
use nix::{sys::signal::Signal, unistd::Pid};
use tokio::process::{Child, Command};

use super::{
    System,
    group::{Group, signal},
    place::Place,
    running::Told,
};

/// HAProxy, with a master and one worker of one thread.
pub(super) struct Haproxy {
    system: System,
    pid: Pid,
    /// First: it goes while the child that was not waited for keeps its number.
    pub(super) group: Group,
    _master: Child,
}

impl Haproxy {
    pub(super) fn start(system: System, place: &Place) -> anyhow::Result<Self> {
        write(system, place)?;
        // In the foreground, as under a service manager: what it says of a configuration goes to its standard error.
        let mut command = Command::new("haproxy");
        command.arg("-W").arg("-f").arg(place.file("config"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(place.log_file()?).process_group(0);
        let master = command.kill_on_drop(true).spawn()?;
        let pid = Pid::from_raw(master.id().context("it runs")?.try_into()?);
        Ok(Self { system, _master: master, group: Group::of(pid), pid })
    }

    pub(super) fn restart(&self) -> anyhow::Result<Told> {
        signal(self.pid, Signal::SIGUSR2)?;
        Ok(Told::Nothing)
    }

    pub(super) fn break_release(&self, place: &Place) -> anyhow::Result<()> {
        place.replace("config", |next| fs::write(next, "this is no configuration\n"))
    }

    pub(super) fn mend_release(&self, place: &Place) -> anyhow::Result<()> {
        write(self.system, place)
    }
}

fn write(system: System, place: &Place) -> anyhow::Result<()> {
    fs::write(place.file("slow.lua"), SLOW)?;
    place.replace("config", |next| fs::write(next, config(system, place)))
}

/// HAProxy answers late by a script only.
const SLOW: &str = "core.register_service('slow', 'http', function(applet)
    core.msleep(300)
    local body = 'slept 300 ms'
    applet:set_status(200)
    applet:add_header('content-length', string.len(body))
    applet:add_header('content-type', 'text/plain')
    applet:add_header('x-generation', PID)
    applet:start_response()
    applet:send(body)
end)
core.register_init(function()
    local stat = io.open('/proc/self/stat')
    PID = stat:read('n')
    stat:close()
end)
";

fn config(system: System, place: &Place) -> String {
    let bind: String = place.setup.addresses().map(|address| format!("    bind {address}\n")).collect();
    let http2 = place.setup.http2();
    let option = if system == System::HaproxyIdleClose { "    option idle-close-on-response" } else { "" };
    let lua = place.file("slow.lua");
    format!(
        "global
    nbthread 1
    maxconn 8000
    lua-load {lua}
defaults
    mode http
    timeout client 1h
    timeout server 1h
    timeout connect 5s
frontend bench
{bind}    bind {http2} proto h2
{option}
    option http-buffer-request
    http-request use-service lua.slow if {{ path_beg /slow/ }}
    http-request return status 200 content-type text/plain hdr x-generation \"%pid\" string \"hello world\"
",
        lua = lua.display()
    )
}
