use std::{net::SocketAddr, time::Duration};

use anyhow::Context;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};

use super::{System, haproxy::Haproxy, nginx::Nginx, place::Place, rust::Rust};
use crate::server::Setup;

/// A system that runs. Dropped, it ends, with all of its processes.
pub(crate) struct Running {
    adapter: Adapter,
    /// Last: its processes end before their files do.
    place: Place,
}

enum Adapter {
    Rust(Rust),
    Nginx(Nginx),
    Haproxy(Haproxy),
}

/// What whoever asked for a restart was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Succeeded,
    Failed(String),
    /// Whoever sends a signal hears nothing.
    Nothing,
}

impl Running {
    /// When this returns, it answers.
    pub(crate) async fn start(system: System, setup: &Setup) -> anyhow::Result<Self> {
        let place = Place::new(setup)?;
        let adapter = match system {
            System::Rust(kind) => Adapter::Rust(Rust::start(kind, &place)?),
            System::NginxUpgrade | System::NginxReload => Adapter::Nginx(Nginx::start(system, &place).await?),
            System::HaproxyReload | System::HaproxyIdleClose => Adapter::Haproxy(Haproxy::start(system, &place)?),
        };
        let running = Self { adapter, place };
        let answers = async {
            while running.check().await.is_none() {
                sleep(Duration::from_millis(10)).await;
            }
        };
        let patience = Duration::from_secs(30);
        timeout(patience, answers).await.with_context(|| format!("it does not answer; {}", running.place.log()))?;
        Ok(running)
    }

    /// Asks for a restart, as an operator would who knows which process serves. How it went is to be seen, unless it is told.
    pub(crate) async fn restart(&mut self, serves: u64) -> anyhow::Result<Told> {
        match &mut self.adapter {
            Adapter::Rust(rust) => rust.restart(&self.place, serves).await,
            Adapter::Nginx(nginx) => nginx.restart(&self.place).await,
            Adapter::Haproxy(haproxy) => haproxy.restart(),
        }
    }

    /// What its processes have used of the processors.
    pub(crate) fn cpu_time(&self) -> anyhow::Result<Duration> {
        match &self.adapter {
            Adapter::Rust(rust) => rust.group().context("it was stopped")?.cpu_time(),
            Adapter::Nginx(nginx) => nginx.group.cpu_time(),
            Adapter::Haproxy(haproxy) => haproxy.group.cpu_time(),
        }
    }

    /// The next release is broken: a program that says so and ends, or a configuration that is refused.
    pub(crate) fn break_release(&self) -> anyhow::Result<()> {
        match &self.adapter {
            Adapter::Rust(_) => Rust::break_release(&self.place),
            Adapter::Nginx(_) => Nginx::break_release(&self.place),
            Adapter::Haproxy(haproxy) => haproxy.break_release(&self.place),
        }
    }

    /// And the next one is good again.
    pub(crate) fn mend_release(&self) -> anyhow::Result<()> {
        match &self.adapter {
            Adapter::Rust(_) => Rust::mend_release(&self.place),
            Adapter::Nginx(_) => Nginx::mend_release(&self.place),
            Adapter::Haproxy(haproxy) => haproxy.mend_release(&self.place),
        }
    }

    /// The process that answers a new connection.
    pub(crate) async fn check(&self) -> Option<u64> {
        pid_of(self.address()).await
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.place.setup.listen.into()
    }

    /// Where HTTP/2 is spoken: nginx and HAProxy want to be told by a listener of its own.
    pub(crate) fn http2_address(&self) -> SocketAddr {
        match self.adapter {
            Adapter::Rust(_) => self.address(),
            Adapter::Nginx(_) | Adapter::Haproxy(_) => self.place.setup.http2(),
        }
    }

    /// All that its processes have said.
    pub(crate) fn log(&self) -> String {
        self.place.log()
    }
}

/// The process that answers a new connection here, if there is one.
pub(crate) async fn pid_of(address: SocketAddr) -> Option<u64> {
    let asked = async {
        let mut stream = TcpStream::connect(address).await.ok()?;
        stream.write_all(b"GET / HTTP/1.1\r\nhost: compare\r\nconnection: close\r\n\r\n").await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        let header = |line: &str| line.to_ascii_lowercase().strip_prefix("x-generation: ")?.trim().parse().ok();
        answer.lines().find_map(header)
    };
    timeout(Duration::from_secs(2), asked).await.ok()?
}
