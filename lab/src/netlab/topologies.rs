//! The networks of the lab, and what `o` does in each.

use std::path::Path;

use super::{
    Finding, Verdict, found,
    namespaces::Namespace,
    people::{Done, User},
};

const ECHO: &str = "o://lab/echo";

/// Passed with this exit status, failed otherwise.
fn expect(name: &'static str, done: &Done, code: i32) -> Finding {
    let verdict = if done.code == Some(code) {
        Verdict::Passed
    } else {
        Verdict::Failed
    };
    found(name, verdict, done.summary())
}

/// The words of a call that echoes a value at an address.
fn call_echo(at: &str) -> [&str; 7] {
    ["call", ECHO, "echo", "{\"n\":1}", "--json", "--peer", at]
}

/// Two hosts and a cable: first as it is, then long, then bad.
pub(super) async fn distance(o: &Path) -> anyhow::Result<Vec<Finding>> {
    let (left, right) = (Namespace::new("left")?, Namespace::new("right")?);
    left.cable(("eth0", "10.7.0.1/24"), &right, ("eth0", "10.7.0.2/24"))?;
    let (server, caller) = (User::new(&left, o)?, User::new(&right, o)?);
    let serving = [
        ECHO,
        "--capability",
        "lab/echo",
        "--listen",
        "/ip4/10.7.0.1/tcp/4001",
        "--listen",
        "/ip4/10.7.0.1/udp/4001/quic-v1",
    ];
    let server = server.serve(&serving).await?;
    let (tcp, quic) = (server.at("/tcp/")?, server.at("/quic-v1/")?);
    let find = [
        "find",
        "lab/echo",
        "--limit",
        "1",
        "--json",
        "--bootstrap",
        tcp,
    ];
    let mut findings = vec![
        expect(
            "two hosts, call over TCP",
            &caller.run(&call_echo(tcp)).await?,
            0,
        ),
        expect(
            "two hosts, call over QUIC",
            &caller.run(&call_echo(quic)).await?,
            0,
        ),
        expect(
            "two hosts, find by capability",
            &caller.run(&find).await?,
            0,
        ),
    ];
    findings.extend(bad_cable(&left, &right, &caller, [tcp, quic]).await?);
    Ok(findings)
}

/// The same cable with delay and loss, or with loss alone where the kernel cannot delay.
async fn bad_cable(
    left: &Namespace,
    right: &Namespace,
    caller: &User<'_>,
    [tcp, quic]: [&str; 2],
) -> anyhow::Result<Vec<Finding>> {
    let mut findings = Vec::new();
    let bad = ["delay", "50ms", "loss", "1%"];
    if left.netem("eth0", &bad)? && right.netem("eth0", &bad)? {
        let names = [
            "50 ms and 1 % loss each way, call over TCP",
            "50 ms and 1 % loss each way, call over QUIC",
        ];
        for (name, at) in names.into_iter().zip([tcp, quic]) {
            findings.push(expect(name, &caller.run(&call_echo(at)).await?, 0));
        }
        return Ok(findings);
    }
    let why = "this kernel has no sch_netem (CONFIG_NET_SCH_NETEM)";
    findings.push(found("50 ms and 1 % loss each way", Verdict::Skipped, why));
    left.lose_one_percent()?;
    right.lose_one_percent()?;
    let count = [
        "call",
        ECHO,
        "count",
        "{\"to\":2000}",
        "--json",
        "--peer",
        tcp,
    ];
    let done = caller.run(&count).await?;
    let complete = done.stdout.lines().count() == 2000;
    let verdict = if done.code == Some(0) && complete {
        Verdict::Passed
    } else {
        Verdict::Failed
    };
    let name = "1 % loss by nftables, 2000 streamed numbers over TCP";
    findings.push(found(name, verdict, done.summary()));
    Ok(findings)
}

/// A public host and, behind a router that hides it, another one; the router's address is public.
struct Hidden {
    public: Namespace,
    _router: Namespace,
    inside: Namespace,
}

impl Hidden {
    fn new(label: &str) -> anyhow::Result<Self> {
        let new = |host: &str| Namespace::new(&format!("{label}-{host}"));
        let (public, router, inside) = (new("public")?, new("router")?, new("inside")?);
        public.cable(
            ("eth0", "203.0.113.1/24"),
            &router,
            ("wan", "203.0.113.2/24"),
        )?;
        inside.cable(
            ("eth0", "192.168.7.2/24"),
            &router,
            ("lan", "192.168.7.1/24"),
        )?;
        inside.ip(&["route", "add", "default", "via", "192.168.7.1"])?;
        router.forward()?;
        router.masquerade("wan")?;
        Ok(Self {
            public,
            _router: router,
            inside,
        })
    }
}

/// The caller is hidden: he calls out, and is called back over his own connection.
pub(super) async fn nat_before_caller(o: &Path) -> anyhow::Result<Vec<Finding>> {
    let net = Hidden::new("out")?;
    let (public, inside) = (User::new(&net.public, o)?, User::new(&net.inside, o)?);
    let server = public
        .serve(&[ECHO, "--listen", "/ip4/203.0.113.1/tcp/4001"])
        .await?;
    let at = server.at("/tcp/")?;
    let call = ["call", ECHO, "echo", "1", "--json", "--peer", at];
    let find = ["find", ECHO, "--limit", "1", "--json", "--bootstrap", at];
    let mut findings = vec![
        expect("NAT before the caller, call", &inside.run(&call).await?, 0),
        expect("NAT before the caller, find", &inside.run(&find).await?, 0),
    ];
    let listen = "/ip4/203.0.113.1/tcp/4002";
    let hub = ["hub", "--listen", listen, "--target", "o://lab/inner"];
    let mut hub = public.hub(&hub).await?;
    let hub_at = hub.at("/tcp/")?.to_owned();
    let inner = ["o://lab/inner", "--listen", "/ip4/192.168.7.2/tcp/4001"];
    let bootstrap = ["--bootstrap", &hub_at];
    let _inner = inside.serve(&[&inner[..], &bootstrap].concat()).await?;
    let back = hub.next().await?;
    let verdict = if back["answer"] == "called back" {
        Verdict::Passed
    } else {
        Verdict::Failed
    };
    let name = "NAT before the caller, called back over his connection";
    findings.push(found(name, verdict, back.to_string()));
    Ok(findings)
}

/// The callee is hidden: he is found, and nobody can dial him.
pub(super) async fn nat_before_callee(o: &Path) -> anyhow::Result<Vec<Finding>> {
    let net = Hidden::new("in")?;
    let (public, inside) = (User::new(&net.public, o)?, User::new(&net.inside, o)?);
    let bootstrap = public
        .serve(&["o://lab/public", "--listen", "/ip4/203.0.113.1/tcp/4001"])
        .await?;
    let at = bootstrap.at("/tcp/")?;
    let hidden = inside
        .serve(&[
            ECHO,
            "--listen",
            "/ip4/192.168.7.2/tcp/4001",
            "--bootstrap",
            at,
        ])
        .await?;
    // A third party that has no connection with him.
    let call = [
        "call",
        ECHO,
        "echo",
        "1",
        "--json",
        "--bootstrap",
        at,
        "--timeout",
        "20s",
    ];
    let done = public.run(&call).await?;
    let verdict = match done.code {
        // Until there are relays this is the right answer.
        Some(4) => Verdict::Limit,
        // To be called would be a wonder, and any other status misleads.
        _ => Verdict::Failed,
    };
    let name = "NAT before the callee, call by name: exit 4 until there are relays";
    let mut findings = vec![found(name, verdict, done.summary())];
    // At the router's address nobody listens.
    let router = format!("/ip4/203.0.113.2/tcp/4001/p2p/{}", hidden.peer_id()?);
    let direct = ["call", ECHO, "echo", "1", "--json", "--peer", &router];
    let name = "NAT before the callee, call at the router's address: exit 4";
    findings.push(expect(name, &public.run(&direct).await?, 4));
    Ok(findings)
}
