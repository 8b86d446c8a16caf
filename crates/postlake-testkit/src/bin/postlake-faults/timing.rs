//! B19: whether the time of a refusal says how much of a login was right. A figure and no verdict: other
//! programs on the machine move it too.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use rand::RngExt as _;

use crate::rig::{Rig, receiving, start};
use crate::row::Row;

/// Refusals of each kind.
const SAMPLES: usize = 100_000;
/// Of all times the slowest are the machine's.
const KEPT: f64 = 0.9;
/// Beyond this |t| the two are not the same.
const LIMIT: f64 = 4.5;

/// Between two logins: more than a thousand wrong ones a second are held back.
const APART: Duration = Duration::from_micros(1200);

const USER: &str = "sparkpost";
const OTHER_USER: &str = "sparkpest";
const PASSWORD: &str = "k3Vd9sQ0aZ7xW1mN5bC8rT2yU6iO4pL";

/// Times of one kind, in nanoseconds.
type Times = Vec<f64>;

pub(crate) fn logins(rig: &Rig, row: &mut Row) {
    let place = rig.place().0;
    let write = |name: &str, text: &str| std::fs::write(place.home().join(name), text).unwrap();
    write("basic.secret", PASSWORD);
    // Every guess comes from another address, so that none is slowed.
    write(
        "postlake.toml",
        &format!(
            "[ingest]\ntrusted_proxies = [\"127.0.0.0/8\"]\n[ingest.auth]\n\
             basic = [{{ username = \"{USER}\", password_file = \"basic.secret\" }}]\n"
        ),
    );
    let server = start(row, &mut receiving(&place));
    let logins = [
        (USER, changed(0)),
        (USER, changed(PASSWORD.len() - 1)),
        (OTHER_USER, changed(PASSWORD.len() - 1)),
    ];
    let logins = logins.map(|(user, password)| base64(format!("{user}:{password}").as_bytes()));
    let mut times: [Times; 3] = Default::default();
    let mut dice = rig.dice(19);
    for number in 0..SAMPLES * logins.len() {
        let kind = dice.random_range(0..logins.len());
        let taken = refused(server.ingest(), &logins[kind], number);
        times[kind].push(taken.as_nanos() as f64);
        std::thread::sleep(APART);
    }
    server.kill();
    row.met = times.iter().map(|times| times.len() as u64).sum();
    let [first, last, unknown] = &times;
    for (name, other) in [
        ("t_of_first_byte_wrong_against_last_byte", first),
        ("t_of_unknown_user_against_known", unknown),
    ] {
        let t = welch(other, last);
        row.note(name, t);
        if t.abs() >= LIMIT {
            row.note(
                "advice",
                format!("{name} is beyond {LIMIT}: look at it on a quiet machine"),
            );
        }
    }
}

fn changed(place: usize) -> String {
    let mut bytes = PASSWORD.as_bytes().to_vec();
    bytes[place] ^= 1;
    String::from_utf8(bytes).unwrap()
}

/// How long it took to hear 401 on a connection that stands; it is closed with the answer.
fn refused(host: SocketAddr, login: &str, number: usize) -> Duration {
    let [_, a, b, c] = u32::try_from(number).unwrap().to_be_bytes();
    let request = format!(
        "POST /webhooks/events HTTP/1.1\r\nhost: {host}\r\nauthorization: Basic {login}\r\n\
         x-forwarded-for: 10.{a}.{b}.{c}\r\ncontent-length: 0\r\n\r\n"
    );
    let mut stream = TcpStream::connect(host).unwrap();
    stream.set_nodelay(true).unwrap();
    let started = Instant::now();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = [0; 4096];
    let bytes = stream.read(&mut answer).unwrap();
    let taken = started.elapsed();
    let answer = &answer[..bytes];
    assert!(
        answer.starts_with(b"HTTP/1.1 401"),
        "{}",
        String::from_utf8_lossy(answer)
    );
    assert!(answer.ends_with(b"}"), "the answer came in two pieces");
    taken
}

/// Welch's t of the two, without the slowest of both together.
fn welch(one: &[f64], other: &[f64]) -> f64 {
    let mut all = [one, other].concat();
    all.sort_by(f64::total_cmp);
    let most = all[(all.len() as f64 * KEPT) as usize];
    let moments = |times: &[f64]| {
        let kept: Vec<f64> = times.iter().copied().filter(|time| *time < most).collect();
        let count = kept.len() as f64;
        let mean = kept.iter().sum::<f64>() / count;
        let squares: f64 = kept.iter().map(|time| (time - mean).powi(2)).sum();
        (mean, squares / (count - 1.0) / count)
    };
    let ((mean, error), (other_mean, other_error)) = (moments(one), moments(other));
    (mean - other_mean) / (error + other_error).sqrt()
}

fn base64(bytes: &[u8]) -> String {
    const SIGNS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let byte = |index: usize| u32::from(three.get(index).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for index in 0..=three.len() {
            let sign = bits >> (18 - 6 * index) & 63;
            text.push(SIGNS[sign as usize] as char);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_seen_and_none_is_not() {
        let times = |shift: f64| -> Times {
            let one = |number: u64| (number * 2_654_435_761 % 1000) as f64 + shift;
            (0..10_000).map(one).collect()
        };
        assert!(welch(&times(0.0), &times(0.0)).abs() < 0.001);
        assert!(welch(&times(50.0), &times(0.0)) > LIMIT);
        assert!(welch(&times(0.0), &times(50.0)) < -LIMIT);
        assert_eq!(base64(b"a:b"), "YTpi");
        assert_eq!(base64(b"sparkpost:x"), "c3Bhcmtwb3N0Ong");
    }
}
