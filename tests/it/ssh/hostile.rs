//! Hosts that mean no good before anybody has logged in: the engine gives them up in time, keeps its memory, and serves the
//! others meanwhile.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::engine::{ADMIN_TOKEN, Engine};
use crate::support::http;
use crate::support::sshd::Sshd;

const BANNER: &[u8] = b"SSH-2.0-OpenSSH_9.2\r\n";
/// A host key that nobody has: no hostile host gets as far as showing one.
const HOST_KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMJhfvlHzB8xxNgGLkhTy9ZAhQyTAdsVNyDOBVmHgVQ3";

/// What a host does with each connection.
#[derive(Clone, Copy, Debug)]
enum Evil {
    Silence,
    SilenceAfterBanner,
    EndlessLines,
    EndlessLine,
    DrippingBanner,
    HugeLength,
    HugeLengthDripping,
    EndlessIgnores,
    EndlessDebug,
    Garbage,
    HugeLists,
    Closes,
}

const ALL: [Evil; 12] = [
    Evil::Silence,
    Evil::SilenceAfterBanner,
    Evil::EndlessLines,
    Evil::EndlessLine,
    Evil::DrippingBanner,
    Evil::HugeLength,
    Evil::HugeLengthDripping,
    Evil::EndlessIgnores,
    Evil::EndlessDebug,
    Evil::Garbage,
    Evil::HugeLists,
    Evil::Closes,
];

/// A packet of the protocol before any key was exchanged (RFC 4253, section 6).
fn packet(payload: &[u8]) -> Vec<u8> {
    let padding = 8 - (payload.len() + 5) % 8 + 8;
    let length = u32::try_from(payload.len() + padding + 1).unwrap();
    let mut bytes = length.to_be_bytes().to_vec();
    bytes.push(u8::try_from(padding).unwrap());
    bytes.extend_from_slice(payload);
    bytes.resize(bytes.len() + padding, 0);
    bytes
}

/// Begins, repeats for ever, and the pause in between.
fn script(evil: Evil) -> (Vec<u8>, Vec<u8>, Duration) {
    let at_once = Duration::ZERO;
    let now_and_then = Duration::from_millis(200);
    let with_banner = |more: &[u8]| [BANNER, more].concat();
    match evil {
        Evil::Silence | Evil::Closes => (Vec::new(), Vec::new(), at_once),
        Evil::SilenceAfterBanner => (BANNER.to_vec(), Vec::new(), at_once),
        Evil::EndlessLines => (Vec::new(), b"no banner yet, wait a little\r\n".repeat(1_000), at_once),
        Evil::EndlessLine => (b"SSH-2.0-".to_vec(), b"x".repeat(32 * 1024), at_once),
        Evil::DrippingBanner => (b"SSH-2.0-".to_vec(), b"x".to_vec(), now_and_then),
        Evil::HugeLength => (with_banner(&[0xff, 0xff, 0xff, 0xff, 4]), b"x".repeat(32 * 1024), at_once),
        Evil::HugeLengthDripping => (with_banner(&[0x7f, 0xff, 0xff, 0xf0, 4, 20]), b"x".to_vec(), now_and_then),
        // Messages that may come at any time and mean nothing (RFC 4253, section 11).
        Evil::EndlessIgnores => (BANNER.to_vec(), packet(&[&[2, 0, 0, 0x10, 0][..], &[b'x'; 4_096]].concat()), at_once),
        Evil::EndlessDebug => (BANNER.to_vec(), packet(&[4, 1, 0, 0, 0, 0, 0, 0, 0, 0]).repeat(500), at_once),
        Evil::Garbage => (
            with_banner(
                &(0..60_000_u32)
                    .map(|n| u8::try_from(n.wrapping_mul(2_654_435_761) >> 24).unwrap())
                    .collect::<Vec<_>>(),
            ),
            Vec::new(),
            at_once,
        ),
        Evil::HugeLists => {
            let list = [&30_000_u32.to_be_bytes()[..], &b"a,".repeat(15_000)].concat();
            let offer = [&[20][..], &[7; 16], &list].concat();
            (with_banner(&packet(&offer)), Vec::new(), at_once)
        }
    }
}

/// Serves everybody so until the process ends.
fn host(evil: Evil) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || abuse(evil, stream));
        }
    });
    address
}

fn abuse(evil: Evil, mut stream: TcpStream) {
    if matches!(evil, Evil::Closes) {
        return;
    }
    let (begin, again, pause) = script(evil);
    if stream.write_all(&begin).is_err() {
        return;
    }
    while !again.is_empty() && stream.write_all(&again).is_ok() {
        std::thread::sleep(pause);
    }
    // Holds the connection as long as the engine does.
    let mut buffer = [0; 1_024];
    while matches!(stream.read(&mut buffer), Ok(1..)) {}
}

fn memory(engine: &Engine) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", engine.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

const RUNBOOK: &str = "\
name: look
mode: auto
parameters: [{name: n}]
steps: [{command: \"echo {{ params.n }}\"}]
";

#[test]
fn hosts_that_abuse_the_protocol_are_given_up_in_time_and_hold_up_nobody() {
    let good = Sshd::start();
    let mut setup = Engine::setup().runbook("look.yml", RUNBOOK).server(good.server_yaml("good"));
    setup = setup.config("limits: {recently_remediated: 0s, blast_radius: 0}");
    for (number, evil) in ALL.into_iter().enumerate() {
        let address = host(evil);
        setup = setup.server(format!(
            "{{name: evil{number}, hostname: 127.0.0.1, port: {}, username: x, auth_type: key, key_file: {}, host_key: {HOST_KEY}}}",
            address.port(),
            good.key_file().display()
        ));
    }
    let engine = setup.start();
    let run = |server: &str, n: usize| {
        let body = json!({"server": server, "parameters": {"n": n.to_string()}});
        let answer = engine.post("/api/v1/runbooks/look/execute", &body);
        assert_eq!(answer.status, 202, "{}", answer.text);
        answer.header("location").rsplit('/').next().unwrap().to_owned()
    };
    let warm = run("good", 0);
    engine.wait_status(&warm, "completed", Duration::from_secs(60));
    let before = memory(&engine);

    let begun = Instant::now();
    let bad: Vec<String> = (0..ALL.len()).map(|number| run(&format!("evil{number}"), number)).collect();
    std::thread::scope(|scope| {
        let tests: Vec<_> = (0..ALL.len())
            .map(|number| {
                let url = format!("{}/api/v1/servers/evil{number}/test", engine.url);
                scope.spawn(move || {
                    let patience = Duration::from_secs(120);
                    http::send(reqwest::Method::POST, &url, Some(ADMIN_TOKEN), Some("{}".to_owned()), &[], patience)
                })
            })
            .collect();
        // Meanwhile the others are served as ever.
        for n in 1..=5 {
            let started = Instant::now();
            let id = run("good", n);
            engine.wait_status(&id, "completed", Duration::from_secs(30));
            assert!(started.elapsed() < Duration::from_secs(20), "run {n} took {:?}", started.elapsed());
        }
        for (number, test) in tests.into_iter().enumerate() {
            let answer =
                test.join().unwrap().unwrap_or_else(|| panic!("{:?} held the test of its server", ALL[number]));
            assert_eq!((answer.status, &answer.json()["status"]), (200, &json!("failed")), "{:?}", ALL[number]);
            let message = answer.json()["message"].as_str().unwrap().to_owned();
            assert!(message.len() < 1_000, "{:?}: a host's words are not passed on at length: {message}", ALL[number]);
        }
    });
    assert!(begun.elapsed() < Duration::from_secs(120), "{:?}", begun.elapsed());
    let grown = memory(&engine).saturating_sub(before);
    assert!(grown < 128 * 1_024, "the engine has grown by {grown} KiB");
    for (number, id) in bad.iter().enumerate() {
        let execution = engine.execution(id);
        assert_ne!(execution["status"], "completed", "{:?}", ALL[number]);
        assert_ne!(execution["status"], "running", "{:?}: nothing was started: {execution}", ALL[number]);
    }
    assert!(!engine.log().contains("panicked"), "{}", engine.log());
}
