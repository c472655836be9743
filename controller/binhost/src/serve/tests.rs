//! A binhost of a few files, asked for them in every way we know.

use std::io::Read;

use tower::ServiceExt;

use super::*;

struct Binhost {
    dir: tempfile::TempDir,
    app: Router,
}

const INDEX: &str = "/amd64/base/x/Packages";
const PACKAGE: &str = "/amd64/base/x/app-misc/hello/hello-1-1.gpkg.tar";

impl Binhost {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        fs_err::create_dir_all(root.join("amd64/base/x/app-misc/hello")).unwrap();
        fs_err::create_dir_all(root.join("incoming")).unwrap();
        let binhost = Self { app: router(root), dir };
        binhost.file(INDEX, "KEY: value\n".repeat(1000).as_bytes());
        binhost.file(PACKAGE, &(0..=255).cycle().take(200_000).collect::<Vec<u8>>());
        binhost
    }

    fn path(&self, path: &str) -> PathBuf {
        self.dir.path().join("root").join(path.trim_start_matches('/'))
    }

    fn file(&self, path: &str, content: &[u8]) {
        fs_err::write(self.path(path), content).unwrap();
        let file = fs_err::OpenOptions::new().write(true).open(self.path(path)).unwrap();
        file.set_modified(durable::at(1_700_000_000)).unwrap();
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        headers: &[(HeaderName, &str)],
    ) -> (StatusCode, HeaderMap, Vec<u8>) {
        let mut request = axum::http::Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(name, *value);
        }
        let response = self.app.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = axum::body::to_bytes(body, 1 << 20).await.unwrap().to_vec();
        (parts.status, parts.headers, body)
    }

    async fn get(&self, path: &str, headers: &[(HeaderName, &str)]) -> (StatusCode, HeaderMap, Vec<u8>) {
        self.ask(Method::GET, path, headers).await
    }
}

const DATE: &str = "Tue, 14 Nov 2023 22:13:20 GMT";

#[tokio::test]
async fn a_package_comes_whole_and_in_parts() {
    let binhost = Binhost::new();
    let content = fs_err::read(binhost.path(PACKAGE)).unwrap();
    let (status, headers, body) = binhost.get(PACKAGE, &[]).await;
    assert_eq!((status, &body), (StatusCode::OK, &content));
    assert_eq!(headers[CONTENT_LENGTH], "200000");
    assert_eq!(headers[CONTENT_TYPE], "application/x-tar");
    assert_eq!((&headers[ACCEPT_RANGES], &headers[LAST_MODIFIED]), (&"bytes".parse().unwrap(), &DATE.parse().unwrap()));

    let (status, headers, body) = binhost.get(PACKAGE, &[(RANGE, "bytes=100000-150000")]).await;
    assert_eq!((status, body.as_slice()), (StatusCode::PARTIAL_CONTENT, &content[100_000..=150_000]));
    assert_eq!(headers[CONTENT_RANGE], "bytes 100000-150000/200000");
    assert_eq!(headers[CONTENT_LENGTH], "50001");

    let (status, headers, body) = binhost.get(PACKAGE, &[(RANGE, "bytes=200000-")]).await;
    assert_eq!(
        (status, &headers[CONTENT_RANGE]),
        (StatusCode::RANGE_NOT_SATISFIABLE, &"bytes */200000".parse().unwrap())
    );
    assert!(serde_json::from_slice::<serde_json::Value>(&body).unwrap()["error"].is_string());

    let (status, headers, body) = binhost.ask(Method::HEAD, PACKAGE, &[]).await;
    assert_eq!((status, &headers[CONTENT_LENGTH], body.len()), (StatusCode::OK, &"200000".parse().unwrap(), 0));
}

#[tokio::test]
async fn a_client_that_has_it_gets_nothing() {
    let binhost = Binhost::new();
    let (.., headers, _) = binhost.get(PACKAGE, &[]).await;
    let tag = headers[ETAG].to_str().unwrap().to_owned();
    let later = "Tue, 14 Nov 2023 22:13:21 GMT";
    let before = "Tue, 14 Nov 2023 22:13:19 GMT";
    let cases: [(&[(HeaderName, &str)], StatusCode); 8] = [
        (&[(IF_MODIFIED_SINCE, DATE)], StatusCode::NOT_MODIFIED),
        (&[(IF_MODIFIED_SINCE, later)], StatusCode::NOT_MODIFIED),
        (&[(IF_MODIFIED_SINCE, before)], StatusCode::OK),
        (&[(IF_MODIFIED_SINCE, "nonsense")], StatusCode::OK),
        (&[(IF_NONE_MATCH, &tag)], StatusCode::NOT_MODIFIED),
        (&[(IF_NONE_MATCH, "\"other\""), (IF_MODIFIED_SINCE, DATE)], StatusCode::OK),
        (&[(RANGE, "bytes=0-9"), (IF_RANGE, &tag)], StatusCode::PARTIAL_CONTENT),
        (&[(RANGE, "bytes=0-9"), (IF_RANGE, before)], StatusCode::OK),
    ];
    for (headers, expected) in cases {
        let (status, _, body) = binhost.get(PACKAGE, headers).await;
        assert_eq!(status, expected, "{headers:?}");
        assert_eq!(body.is_empty(), expected == StatusCode::NOT_MODIFIED);
    }
}

#[tokio::test]
async fn portage_hears_of_a_generation_that_followed_its_copy_at_once() {
    let binhost = Binhost::new();
    let agent = (USER_AGENT, "Gentoo Portage");
    // its copy is the present one, or older by up to five seconds; it claims five more
    for (claims, status) in [
        ("Tue, 14 Nov 2023 22:13:25 GMT", StatusCode::NOT_MODIFIED),
        ("Tue, 14 Nov 2023 22:13:24 GMT", StatusCode::OK),
        ("Tue, 14 Nov 2023 22:13:20 GMT", StatusCode::OK),
        ("Tue, 14 Nov 2023 22:13:26 GMT", StatusCode::NOT_MODIFIED),
    ] {
        assert_eq!(binhost.get(INDEX, &[agent.clone(), (IF_MODIFIED_SINCE, claims)]).await.0, status, "{claims}");
    }
}

#[tokio::test]
async fn only_the_plain_index_is_compressed_on_the_fly() {
    let binhost = Binhost::new();
    binhost.file("amd64/base/x/Packages.gz", &[b'z'; 5000]);
    let gzip = (axum::http::header::ACCEPT_ENCODING, "gzip");
    let (_, headers, body) = binhost.get(INDEX, std::slice::from_ref(&gzip)).await;
    assert_eq!(headers["content-encoding"], "gzip");
    assert!(headers.get("vary").is_some());
    let mut text = String::new();
    flate2::read::GzDecoder::new(body.as_slice()).read_to_string(&mut text).unwrap();
    assert_eq!(text, "KEY: value\n".repeat(1000));
    for path in [PACKAGE, "/amd64/base/x/Packages.gz"] {
        let (_, headers, _) = binhost.get(path, std::slice::from_ref(&gzip)).await;
        assert!(headers.get("content-encoding").is_none(), "{path}");
    }
    let (_, headers, body) = binhost.get(INDEX, &[gzip, (RANGE, "bytes=0-3")]).await;
    assert!(headers.get("content-encoding").is_none());
    assert_eq!(body, b"KEY:");
}

#[tokio::test]
async fn nothing_but_the_binhosts_files_is_shown() {
    let binhost = Binhost::new();
    fs_err::write(binhost.dir.path().join("secret"), "secret").unwrap();
    for hidden in ["amd64/.swarm-x1", "incoming/1.gpkg.tar", "amd64/a-1.gpkg.tar0Xyz.77", "amd64/a.part", "amd64/b~"] {
        binhost.file(hidden, b"x");
    }
    fs_err::os::unix::fs::symlink("../../secret", binhost.path("amd64/out")).unwrap();
    fs_err::os::unix::fs::symlink("loop", binhost.path("amd64/loop")).unwrap();
    nix::unistd::mkfifo(&binhost.path("amd64/pipe"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    let (long, component) = (format!("/{}", "a".repeat(2000)), format!("/{}", "a".repeat(300)));
    let paths = [
        "/",
        "/amd64",
        "/amd64/",
        "/../secret",
        "/amd64/../../secret",
        "/%2e%2e/secret",
        "/amd64/%2e%2e/%2e%2e/secret",
        "/amd64%2f..%2f..%2fsecret",
        "//etc/passwd",
        "/%2fetc/passwd",
        "/amd64/.swarm-x1",
        "/amd64/%2eswarm-x1",
        "/incoming/1.gpkg.tar",
        "/amd64/a-1.gpkg.tar0Xyz.77",
        "/amd64/a.part",
        "/amd64/b~",
        "/amd64/out",
        "/amd64/loop",
        "/amd64/pipe",
        "/amd64/base/x/Packages/",
        "/amd64/./base/x/Packages",
        "/amd64//base/x/Packages",
        "/%zz",
        "/%ff",
        "/amd64/base/x/Packages%00",
        "/amd64/base/x/Packages/x",
        &long,
        &component,
    ];
    for path in paths {
        let (status, headers, body) = binhost.get(path, &[]).await;
        assert_eq!(status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(headers[CONTENT_TYPE], "application/json");
        let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert!(json["error"].is_string() && json["hint"].is_string(), "{path}: {json}");
    }
}

#[tokio::test]
async fn a_link_within_the_binhost_is_followed_and_an_escaped_name_found() {
    let binhost = Binhost::new();
    fs_err::os::unix::fs::symlink("base", binhost.path("amd64/stable")).unwrap();
    binhost.file("amd64/base/x/gtk+-3-1.gpkg.tar", b"gtk");
    for path in ["/amd64/stable/x/Packages", "/amd64/base/x/gtk+-3-1.gpkg.tar", "/amd64/base/x/gtk%2B-3-1.gpkg.tar"] {
        assert_eq!(binhost.get(path, &[]).await.0, StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn the_restricted_part_opens_for_its_secret_alone_and_shows_both_trees() {
    let binhost = Binhost::new();
    let private = binhost.dir.path().join("private");
    let bound = "/amd64/base/x/app-misc/bound/bound-1-1.gpkg.tar";
    let place = private.join(bound.trim_start_matches('/'));
    fs_err::create_dir_all(place.parent().unwrap()).unwrap();
    fs_err::write(&place, "restricted").unwrap();
    let lock = Lock::new(&swarm_protocol::Secret("s3cret".to_owned()));
    let app = private_router(private.clone(), binhost.dir.path().join("root"), lock);
    let inside = Binhost { app, dir: tempfile::tempdir().unwrap() };

    assert_eq!(binhost.get(bound, &[]).await.0, StatusCode::NOT_FOUND, "never below the public path");
    let wrong = [None, Some("Bearer other"), Some("Basic czNjcmV0"), Some("Basic c3dhcm06b3RoZXI=")];
    for (path, offered) in wrong.iter().flat_map(|offered| [(bound, offered), (INDEX, offered), ("/x", offered)]) {
        let headers: Vec<_> = offered.iter().map(|value| (AUTHORIZATION, *value)).collect();
        for method in [Method::GET, Method::HEAD, Method::PUT] {
            let (status, headers, _) = inside.ask(method, path, &headers).await;
            assert_eq!(status, StatusCode::UNAUTHORIZED, "{path} {offered:?}");
            assert!(headers[WWW_AUTHENTICATE].to_str().unwrap().starts_with("Basic "));
        }
    }
    let twice = [(AUTHORIZATION, "Bearer s3cret"), (AUTHORIZATION, "Bearer s3cret")];
    assert_eq!(inside.get(bound, &twice).await.0, StatusCode::UNAUTHORIZED);
    // swarm:s3cret
    for key in [(AUTHORIZATION, "Basic c3dhcm06czNjcmV0"), (AUTHORIZATION, "Bearer s3cret")] {
        let (status, _, body) = inside.get(bound, std::slice::from_ref(&key)).await;
        assert_eq!((status, body.as_slice()), (StatusCode::OK, &b"restricted"[..]));
        let ranged = [key.clone(), (RANGE, "bytes=2-3")];
        assert_eq!(inside.get(bound, &ranged).await.2, b"st");
        assert_eq!(inside.get(PACKAGE, std::slice::from_ref(&key)).await.2.len(), 200_000, "the public tree, too");
        assert_eq!(inside.get("/../private/x", &[key]).await.0, StatusCode::NOT_FOUND);
    }
    // the complete index, where there is one, stands before the public one
    let key = (AUTHORIZATION, "Bearer s3cret");
    assert!(inside.get(INDEX, std::slice::from_ref(&key)).await.2.starts_with(b"KEY"));
    fs_err::write(private.join("amd64/base/x/Packages"), "COMPLETE").unwrap();
    assert_eq!(inside.get(INDEX, &[key]).await.2, b"COMPLETE");
}

#[tokio::test]
async fn it_is_read_only_and_works_nested() {
    let binhost = Binhost::new();
    for method in [Method::PUT, Method::POST, Method::DELETE, Method::OPTIONS] {
        let (status, headers, _) = binhost.ask(method, INDEX, &[]).await;
        assert_eq!((status, &headers[ALLOW]), (StatusCode::METHOD_NOT_ALLOWED, &"GET, HEAD".parse().unwrap()));
    }
    let app = Router::new().nest_service("/binhost", binhost.app.clone());
    let request = axum::http::Request::get(format!("/binhost{PACKAGE}")).body(Body::empty()).unwrap();
    assert_eq!(app.oneshot(request).await.unwrap().status(), StatusCode::OK);
    let absent = router(binhost.dir.path().join("absent"));
    let request = axum::http::Request::get(INDEX).body(Body::empty()).unwrap();
    assert_eq!(absent.oneshot(request).await.unwrap().status(), StatusCode::NOT_FOUND);
}
