//! Network namespaces that remove themselves.

use std::process::Command;

use anyhow::{Context as _, bail};

/// How the names of all namespaces of this process begin.
pub(super) fn prefix() -> String {
    format!("olab{}-", std::process::id())
}

/// Runs a program that must succeed.
fn must(program: &str, args: &[&str]) -> anyhow::Result<()> {
    let output = Command::new(program)
        .args(args)
        .output()
        .with_context(|| format!("{program} cannot be run"))?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        bail!("{program} {}: {}", args.join(" "), why.trim());
    }
    Ok(())
}

/// Namespaces of processes that were killed before they could remove them.
pub(super) fn remove_stale() {
    let Ok(output) = Command::new("ip").args(["netns", "list"]).output() else {
        return;
    };
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let name = line.split_whitespace().next().unwrap_or_default();
        let owner = name
            .strip_prefix("olab")
            .and_then(|rest| rest.split_once('-'))
            .filter(|(pid, _)| !pid.is_empty() && pid.bytes().all(|byte| byte.is_ascii_digit()));
        if let Some((pid, _)) = owner
            && !std::path::Path::new("/proc").join(pid).exists()
        {
            crate::warn(format_args!("removing {name}, left by an earlier run"));
            let _ = must("ip", &["netns", "del", name]);
        }
    }
}

/// One namespace; removed when dropped.
#[derive(Debug)]
pub(super) struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes it, with its loopback interface up.
    pub(super) fn new(label: &str) -> anyhow::Result<Self> {
        let name = format!("{}{label}", prefix());
        must("ip", &["netns", "add", &name])?;
        let made = Self { name };
        made.ip(&["link", "set", "lo", "up"])?;
        Ok(made)
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// `ip` inside it.
    pub(super) fn ip(&self, args: &[&str]) -> anyhow::Result<()> {
        must("ip", &[&["-n", &self.name], args].concat())
    }

    /// Any program inside it, that must succeed.
    pub(super) fn exec(&self, args: &[&str]) -> anyhow::Result<()> {
        must("ip", &[&["netns", "exec", &self.name], args].concat())
    }

    /// A cable from `interface` here to `other_interface` there, both up, with these addresses.
    pub(super) fn cable(
        &self,
        (interface, address): (&str, &str),
        other: &Self,
        (other_interface, other_address): (&str, &str),
    ) -> anyhow::Result<()> {
        self.ip(&[
            "link",
            "add",
            interface,
            "type",
            "veth",
            "peer",
            "name",
            other_interface,
            "netns",
            &other.name,
        ])?;
        for (end, interface, address) in [
            (self, interface, address),
            (other, other_interface, other_address),
        ] {
            end.ip(&["addr", "add", address, "dev", interface])?;
            end.ip(&["link", "set", interface, "up"])?;
        }
        Ok(())
    }

    /// Passes packets on between its interfaces.
    pub(super) fn forward(&self) -> anyhow::Result<()> {
        self.exec(&["sysctl", "-q", "-w", "net.ipv4.ip_forward=1"])
    }

    /// Hides whatever leaves by `interface` behind its own address, and lets nothing in that was
    /// not asked for.
    pub(super) fn masquerade(&self, interface: &str) -> anyhow::Result<()> {
        let rules = format!(
            "table ip lab {{
               chain post {{
                 type nat hook postrouting priority 100; policy accept;
                 oifname \"{interface}\" masquerade
               }}
               chain forward {{
                 type filter hook forward priority 0; policy accept;
                 iifname \"{interface}\" ct state established,related accept
                 iifname \"{interface}\" drop
               }}
             }}"
        );
        self.exec(&["nft", &rules])
    }

    /// Drops one in a hundred packets that arrive.
    pub(super) fn lose_one_percent(&self) -> anyhow::Result<()> {
        let rules = "table ip lab {
               chain input {
                 type filter hook input priority 0; policy accept;
                 meta l4proto tcp numgen random mod 100 0 counter drop
               }
             }";
        self.exec(&["nft", rules])
    }

    /// Delays and loses what leaves by `interface`; `false` where the kernel lacks netem.
    pub(super) fn netem(&self, interface: &str, what: &[&str]) -> anyhow::Result<bool> {
        let args = ["tc", "qdisc", "add", "dev", interface, "root", "netem"];
        match self.exec(&[&args, what].concat()) {
            Ok(()) => Ok(true),
            Err(error) if error.to_string().contains("qdisc kind is unknown") => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if let Err(error) = must("ip", &["netns", "del", &self.name]) {
            crate::warn(format_args!("{} is left: {error}", self.name));
        }
    }
}
