use std::os::unix::fs::PermissionsExt as _;

use rcgen::{CertificateParams, KeyPair};

use super::*;

fn url(text: &str) -> Url {
    Url::parse(text).unwrap()
}

fn cache(root: &Path) -> Cache {
    let cache = Cache::of(root, &url("https://acme.example/directory"));
    cache.create().unwrap();
    cache
}

fn keep(cache: &Cache) -> Ordered {
    let params = CertificateParams::new(["hooks.example.com".to_owned()]).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let ordered = Ordered {
        names: vec!["hooks.example.com".to_owned()],
        at_secs: 1_795_305_600,
    };
    cache
        .keep_certificate(&ordered, &certificate.pem(), &key.serialize_pem())
        .unwrap();
    ordered
}

#[test]
fn what_is_kept_is_found_again_and_for_nobody_else() {
    let root = tempfile::tempdir().unwrap();
    let cache = cache(root.path());
    assert!(cache.certificate().unwrap().is_none());
    assert!(cache.account().unwrap().is_none());
    let ordered = keep(&cache);
    let kept = cache.certificate().unwrap().unwrap();
    assert_eq!((kept.ordered, kept.chain.len()), (ordered, 1));
    let attempts = Attempts {
        names: vec!["hooks.example.com".to_owned()],
        failures: 3,
        next_at_secs: 7,
        trouble: Some("nobody there".to_owned()),
    };
    cache.keep_attempts(&attempts).unwrap();
    assert_eq!(cache.attempts().unwrap(), Some(attempts));
    for path in [cache.folder(), &cache.certificate_file()] {
        let mode = fs::metadata(path).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{}: {mode:o}", path.display());
    }
    cache.forget_attempts().unwrap();
    cache.forget_attempts().unwrap();
    assert_eq!(cache.attempts().unwrap(), None);
    // Nothing of the writing is left.
    assert_eq!(fs::read_dir(cache.folder()).unwrap().count(), 1);
}

#[test]
fn directories_have_folders_of_their_own() {
    let root = Path::new("/cache");
    let folder = |text: &str| {
        let cache = Cache::of(root, &url(text));
        cache.folder().strip_prefix(root).unwrap().to_owned()
    };
    let expected = "acme-v02.api.letsencrypt.org-directory";
    let letsencrypt = folder("https://acme-v02.api.letsencrypt.org/directory");
    assert_eq!(letsencrypt, Path::new(expected));
    assert_eq!(
        folder("https://localhost:14000/dir"),
        Path::new("localhost-14000-dir")
    );
    // One folder, and not above.
    assert_eq!(
        folder("https://a.example/..%2f../x/").components().count(),
        1
    );
}

/// Whatever happens to the bytes, the file is damaged and says where it is.
#[test]
fn a_changed_or_cut_file_is_damaged() {
    let root = tempfile::tempdir().unwrap();
    let cache = cache(root.path());
    keep(&cache);
    let path = cache.certificate_file();
    let whole = fs::read(&path).unwrap();
    let damaged = |content: &[u8]| {
        fs::write(&path, content).unwrap();
        let error = cache.certificate().unwrap_err();
        assert!(matches!(error, CacheError::Damaged { .. }), "{error}");
        assert!(
            error.to_string().contains("certificate.pem is damaged"),
            "{error}"
        );
    };
    for end in (0..whole.len()).step_by(7) {
        damaged(&whole[..end]);
    }
    for index in (0..whole.len()).step_by(5) {
        let mut changed = whole.clone();
        changed[index] ^= 0x80 >> (index % 8);
        damaged(&changed);
    }
    // Whole, and of something else.
    cache
        .keep_attempts(&Attempts {
            names: Vec::new(),
            failures: 1,
            next_at_secs: 0,
            trouble: None,
        })
        .unwrap();
    damaged(&fs::read(cache.file(ATTEMPTS)).unwrap());
    cache.write(CERTIFICATE, "{}\n").unwrap();
    assert!(cache.certificate().is_err());
    cache
        .write(CERTIFICATE, "{\"names\":[],\"at_secs\":0}\nno PEM")
        .unwrap();
    assert!(cache.certificate().is_err());
    let aside = cache.put_aside(&path).unwrap();
    assert!(aside.ends_with("certificate.damaged") && aside.exists());
    assert!(cache.certificate().unwrap().is_none());
}
