use std::{fmt, sync::LazyLock};

use clap::ValueEnum;

use super::versions::{installed, version_of};
use crate::server::Kind;

/// Who is restarted, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum System {
    Ours,
    /// Connections are drained instead of handed over.
    OursStays,
    Ecdysis,
    Shellflip,
    /// As `systemctl restart` does with a `.socket` unit.
    Activated,
    /// Another one is started beside it, and it is stopped.
    ReusePort,
    /// Another binary, and then an end for the first.
    NginxUpgrade,
    NginxReload,
    HaproxyReload,
    /// With `option idle-close-on-response`.
    HaproxyIdleClose,
}

impl System {
    pub(crate) const ALL: [Self; 10] = [
        Self::Ours,
        Self::OursStays,
        Self::Ecdysis,
        Self::Shellflip,
        Self::Activated,
        Self::ReusePort,
        Self::NginxUpgrade,
        Self::NginxReload,
        Self::HaproxyReload,
        Self::HaproxyIdleClose,
    ];

    /// The Rust server that it is.
    pub(crate) fn kind(self) -> Option<Kind> {
        Some(match self {
            Self::Ours => Kind::Ours,
            Self::OursStays => Kind::OursStays,
            Self::Ecdysis => Kind::Ecdysis,
            Self::Shellflip => Kind::Shellflip,
            Self::Activated => Kind::Activated,
            Self::ReusePort => Kind::ReusePort,
            Self::NginxUpgrade | Self::NginxReload | Self::HaproxyReload | Self::HaproxyIdleClose => return None,
        })
    }

    /// Why it can't be measured here at all.
    pub(crate) fn missing(self) -> Option<String> {
        let program = match self {
            Self::NginxUpgrade | Self::NginxReload => "nginx",
            Self::HaproxyReload | Self::HaproxyIdleClose => "haproxy",
            _ => return None,
        };
        installed(program).is_none().then(|| format!("not installed: apt-get install {program}"))
    }

    pub(crate) fn is_nginx(self) -> bool {
        matches!(self, Self::NginxUpgrade | Self::NginxReload)
    }

    pub(crate) fn is_haproxy(self) -> bool {
        matches!(self, Self::HaproxyReload | Self::HaproxyIdleClose)
    }
}

/// Each is run once to be asked.
static NGINX: LazyLock<Option<String>> = LazyLock::new(|| installed("nginx"));
static HAPROXY: LazyLock<Option<String>> = LazyLock::new(|| installed("haproxy"));

impl fmt::Display for System {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, version, how) = match self {
            Self::Ours => return f.pad("ours"),
            Self::OursStays => return f.pad("ours, handover off"),
            Self::Ecdysis => ("ecdysis", version_of("ecdysis"), " + axum"),
            Self::Shellflip => ("shellflip", version_of("shellflip"), " + axum"),
            Self::Activated => ("axum", version_of("axum"), ", socket activation"),
            Self::ReusePort => ("axum", version_of("axum"), ", SO_REUSEPORT"),
            Self::NginxUpgrade => ("nginx", NGINX.clone(), ", USR2 and QUIT"),
            Self::NginxReload => ("nginx", NGINX.clone(), ", HUP"),
            Self::HaproxyReload => ("HAProxy", HAPROXY.clone(), ", reload"),
            Self::HaproxyIdleClose => ("HAProxy", HAPROXY.clone(), ", idle-close"),
        };
        f.pad(&format!("{name} {}{how}", version.as_deref().unwrap_or("?")))
    }
}
