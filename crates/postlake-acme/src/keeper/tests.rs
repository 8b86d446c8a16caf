//! Without a real authority: what is kept over failures, and how long nobody is asked.

use std::net::TcpListener as Silent;
use std::path::Path;
use std::sync::atomic::{AtomicI64, Ordering::Relaxed};

use axum::Router;
use axum::http::{StatusCode, header};
use postlake_listen::{CertificateFiles, Limits, Listener, serve};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use tempfile::TempDir;
use tokio::net::TcpListener;
use url::Url;

use super::*;

/// 2026-11-22.
const TODAY: i64 = 1_795_305_600;
const DAY: i64 = 86_400;
const PATIENCE: Duration = Duration::from_secs(60);

/// A cache and a clock.
struct Rig {
    folder: TempDir,
    clock: Arc<AtomicI64>,
    directory: Url,
}

impl Rig {
    /// The directory is at a port of this machine.
    fn new(port: u16) -> Rig {
        Rig {
            folder: tempfile::tempdir().unwrap(),
            clock: Arc::new(AtomicI64::new(TODAY)),
            directory: Url::parse(&format!("https://localhost:{port}/dir")).unwrap(),
        }
    }

    fn own(&self) -> CertificateFiles {
        CertificateFiles {
            certificate: self.folder.path().join("own.pem"),
            key: self.folder.path().join("own.key"),
        }
    }

    fn open(&self, names: &[&str]) -> (Keeper, Tls) {
        let clock = Arc::clone(&self.clock);
        let now: Now = Arc::new(move || clock.load(Relaxed));
        let tls = Tls::handed_in(Arc::clone(&now)).unwrap();
        let ca_file = self.folder.path().join("ca.pem");
        let settings = Settings {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            contacts: Vec::new(),
            directory: self.directory.clone(),
            directory_ca_file: Some(ca_file).filter(|file| file.exists()),
            external_account: None,
            cache: self.folder.path().join("acme"),
        };
        (Keeper::open(settings, tls.clone(), now).unwrap(), tls)
    }

    /// A certificate in the cache that ends with that day of 2026.
    fn cached(&self, month: u8, day: u8) {
        let cache = Cache::of(&self.folder.path().join("acme"), &self.directory);
        cache.create().unwrap();
        let mut params = CertificateParams::new(["a.example".to_owned()]).unwrap();
        params.not_before = date_time_ymd(2026, 9, 1);
        params.not_after = date_time_ymd(2026, month, day);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let ordered = Ordered {
            names: vec!["a.example".to_owned()],
            at_secs: TODAY - 80 * DAY,
        };
        cache
            .keep_certificate(&ordered, &certificate.pem(), &key.serialize_pem())
            .unwrap();
    }
}

/// A port of this machine at which nobody answers: connections wait for ever.
fn silent() -> (Silent, u16) {
    let socket = Silent::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    (socket, port)
}

/// A port at which nobody listens.
fn nobody() -> u16 {
    silent().1
}

/// An authority that turns everybody away for that many seconds.
async fn busy(rig: &mut Rig, wait_secs: &'static str) {
    let mut params = CertificateParams::new([]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &ca).unwrap();
    let write = |path: &Path, text: String| std::fs::write(path, text).unwrap();
    write(&rig.own().certificate, certificate.pem());
    write(&rig.own().key, key.serialize_pem());
    write(&rig.folder.path().join("ca.pem"), ca.pem());
    let tls = Tls::from_files(rig.own(), Arc::new(|| TODAY)).unwrap();
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = socket.local_addr().unwrap().port();
    rig.directory = Url::parse(&format!("https://localhost:{port}/dir")).unwrap();
    let refusal = r#"{"type":"urn:ietf:params:acme:error:rateLimited","detail":"too many"}"#;
    let answer = (
        StatusCode::TOO_MANY_REQUESTS,
        [(header::RETRY_AFTER, wait_secs)],
        refusal,
    );
    let router = Router::new().fallback(async move || answer);
    let listener = Listener::from(socket).with_tls(Some(tls));
    let stop = CancellationToken::new();
    drop(tokio::spawn(serve(
        listener,
        router,
        Limits::default(),
        stop,
    )));
}

/// Runs the keeper until that many attempts have failed in all.
async fn fail(keeper: &Keeper, failures: u64) -> Progress {
    let stop = CancellationToken::new();
    let running = tokio::spawn(keeper.clone().run(stop.clone()));
    let failed = async {
        while keeper.progress().failures < failures {
            keeper.ask_now();
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, failed).await.unwrap();
    stop.cancel();
    running.await.unwrap();
    keeper.progress()
}

#[tokio::test]
async fn the_old_certificate_stays_and_failures_count_over_restarts() {
    let rig = Rig::new(nobody());
    rig.cached(11, 30);
    let (keeper, tls) = rig.open(&["a.example"]);
    let not_after = tls.status().not_after_secs;
    assert!(not_after > Some(TODAY));
    // Two thirds are over.
    assert!(keeper.progress().next_at_secs <= TODAY);
    let progress = fail(&keeper, 1).await;
    assert_eq!(tls.status().not_after_secs, not_after);
    let wait = progress.next_at_secs - TODAY;
    assert!((45..=75).contains(&wait), "{wait}");
    let trouble = progress.trouble.unwrap();
    assert!(
        trouble.contains("ask for the directory") || trouble.contains("make an account"),
        "{trouble}"
    );

    let (again, _) = rig.open(&["a.example"]);
    assert_eq!(again.progress().next_at_secs, TODAY + wait);
    assert_eq!(again.progress().trouble, Some(trouble));
    // It is not due yet, and somebody asks.
    rig.clock.fetch_add(wait - 1, Relaxed);
    let progress = fail(&again, 1).await;
    let second = progress.next_at_secs - TODAY - (wait - 1);
    assert!((225..=375).contains(&second), "{second}");

    // What is wanted is something else, and nothing of it has failed.
    let (other, tls) = rig.open(&["b.example"]);
    assert_eq!(other.progress().next_at_secs, TODAY + wait - 1);
    assert_eq!(tls.status().not_after_secs, not_after);
}

#[tokio::test]
async fn a_certificate_in_the_first_two_thirds_of_its_life_is_left_alone() {
    let rig = Rig::new(nobody());
    rig.cached(12, 31);
    rig.clock.store(TODAY - 60 * DAY, Relaxed);
    let (keeper, tls) = rig.open(&["a.example"]);
    assert!(tls.status().not_after_secs.is_some());
    let progress = keeper.progress();
    let days = (progress.next_at_secs - TODAY) / DAY;
    // 121 days from the 1st of September; two thirds of them end on the 20th of November.
    assert!((-7..=0).contains(&days), "{days}");
    assert_eq!((progress.trouble, progress.failures), (None, 0));
}

#[tokio::test]
async fn an_expired_certificate_is_used_as_long_as_there_is_no_other() {
    let rig = Rig::new(nobody());
    rig.cached(11, 1);
    let (keeper, tls) = rig.open(&["a.example"]);
    assert!(tls.status().not_after_secs < Some(TODAY));
    assert!(keeper.progress().next_at_secs <= TODAY);
    fail(&keeper, 1).await;
    assert!(tls.status().not_after_secs.is_some());
}

#[tokio::test]
async fn an_authority_is_not_asked_before_the_time_that_it_has_named() {
    // More than a week is not believed.
    for (wait, expected) in [("7200", 7_200), ("99999999", LONGEST_WAIT_SECS)] {
        let mut rig = Rig::new(nobody());
        busy(&mut rig, wait).await;
        let (keeper, _tls) = rig.open(&["a.example"]);
        let progress = fail(&keeper, 1).await;
        assert_eq!(progress.next_at_secs - TODAY, expected, "{progress:?}");
        let (again, _tls) = rig.open(&["a.example"]);
        assert_eq!(again.progress().next_at_secs - TODAY, expected);
    }
}

#[tokio::test]
async fn stopping_waits_for_no_authority() {
    let (_held, port) = silent();
    let rig = Rig::new(port);
    let (keeper, _tls) = rig.open(&["a.example"]);
    let stop = CancellationToken::new();
    let running = tokio::spawn(keeper.clone().run(stop.clone()));
    let cache = Cache::of(&rig.folder.path().join("acme"), &rig.directory);
    let begun = async {
        while cache.attempts().unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, begun).await.unwrap();
    stop.cancel();
    let ended = tokio::time::timeout(Duration::from_secs(5), running).await;
    ended.unwrap().unwrap();
    // Who was told to stop has not failed.
    let (again, _tls) = rig.open(&["a.example"]);
    assert_eq!(again.progress().next_at_secs, TODAY);
    assert_eq!(again.progress().trouble, None);
}

/// A crash is not told to anybody: the next process waits a minute, and no longer each time.
#[tokio::test]
async fn a_crash_on_the_way_costs_a_minute() {
    let (_held, port) = silent();
    let rig = Rig::new(port);
    let cache = Cache::of(&rig.folder.path().join("acme"), &rig.directory);
    for crash in 1..=3 {
        let (keeper, _tls) = rig.open(&["a.example"]);
        let running = tokio::spawn(keeper.clone().run(CancellationToken::new()));
        let due = TODAY + crash * ASKED_SECS;
        let begun = async {
            while cache
                .attempts()
                .unwrap()
                .map(|attempts| attempts.next_at_secs)
                != Some(due)
            {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, begun).await.unwrap();
        running.abort();
        let (again, _tls) = rig.open(&["a.example"]);
        assert_eq!(again.progress().next_at_secs, due);
        let trouble = again.progress().trouble.unwrap();
        assert!(trouble.contains("broken off"), "{trouble}");
        rig.clock.fetch_add(ASKED_SECS, Relaxed);
    }
}
