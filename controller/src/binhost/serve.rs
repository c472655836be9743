//! Gives the files of the binhost to clients: GET and HEAD, one range, If-Modified-Since, streamed. Only regular files below the
//! root whose names a client has business with; nothing hidden, temporary or on its way in. Read-only. What is below
//! [`router`] is for everybody; [`private_router`] looks at a secret first and shows restricted packages, too.

use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{
    ACCEPT_RANGES, ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG,
    IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, LAST_MODIFIED, RANGE, USER_AGENT, WWW_AUTHENTICATE,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};
use axum::response::{IntoResponse, Response};
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio_util::io::ReaderStream;
use tower_http::compression::CompressionLayer;

use super::durable;
use super::ranges::{Wanted, wanted};
use super::secret::Lock;

/// Bytes read at a time.
const PIECE: usize = 1 << 16;
/// Longest path taken, encoded.
const MAX_PATH: usize = 1024;

/// Marks a response that may be compressed on the fly: the plain index. Packages are compressed already.
#[derive(Debug, Clone, Copy)]
struct Compressible;

/// Portage says it has a copy that is this many seconds newer than it is (`TIMESTAMP_TOLERANCE` in its `_urlopen.py`).
const PORTAGE_TOLERANCE: u64 = 5;
/// How Portage's own downloader of indexes names itself.
const PORTAGE: &[u8] = b"Gentoo Portage";

/// What is shown, and to whom.
struct Shelf {
    /// Looked through in this order.
    roots: Vec<PathBuf>,
    /// Who may look; everybody if there is none.
    lock: Option<Lock>,
}

/// Serves what is below `root`, which need not exist yet. Nest it under its prefix, for example `/binhost`.
pub fn router(root: PathBuf) -> Router {
    shelf(Shelf { roots: vec![root], lock: None })
}

/// Serves, to whoever has the secret, what is below `private` and, where nothing is there, what is below `public`: the
/// complete index lists both.
pub fn private_router(private: PathBuf, public: PathBuf, lock: Lock) -> Router {
    shelf(Shelf { roots: vec![private, public], lock: Some(lock) })
}

fn shelf(shelf: Shelf) -> Router {
    let may = |_: StatusCode, _: Version, _: &HeaderMap, marks: &Extensions| marks.get::<Compressible>().is_some();
    Router::new().fallback(file).layer(CompressionLayer::new().compress_when(may)).with_state(Arc::new(shelf))
}

/// Whether the request may look at a shelf.
fn may_look(shelf: &Shelf, asked: &HeaderMap) -> bool {
    let Some(lock) = &shelf.lock else { return true };
    let mut offered = asked.get_all(AUTHORIZATION).iter();
    match (offered.next(), offered.next()) {
        (Some(value), None) => value.to_str().is_ok_and(|value| lock.opens(value)),
        _ => false,
    }
}

fn locked() -> Response {
    let hint = "`swarm binhost show --private` says how a client gets in; `/binhost` is open to everybody";
    let error = "this part of the binhost needs its secret";
    let mut response = refusal(StatusCode::UNAUTHORIZED, error, Some(hint));
    let challenge = HeaderValue::from_static("Basic realm=\"Build Swarm binhost\", charset=\"UTF-8\"");
    response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
    response
}

async fn file(State(shelf): State<Arc<Shelf>>, request: Request) -> Response {
    // before anything else: a stranger learns not even which names there are
    if !may_look(&shelf, request.headers()) {
        return locked();
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = refusal(StatusCode::METHOD_NOT_ALLOWED, "the binhost is read only", Some("use GET or HEAD"));
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    let Some(relative) = relative(request.uri().path()) else {
        return not_found();
    };
    let opening = tokio::task::spawn_blocking(move || open_in(&shelf.roots, &relative));
    match opening.await {
        Ok(Ok(Some(found))) => respond(found, request.headers(), *request.method() == Method::HEAD).await,
        Ok(Ok(None)) => not_found(),
        Ok(Err(error)) => {
            tracing::error!(%error, "a file of the binhost could not be opened");
            refusal(StatusCode::INTERNAL_SERVER_ERROR, "the file could not be read", None)
        }
        Err(_) => refusal(StatusCode::INTERNAL_SERVER_ERROR, "the file could not be read", None),
    }
}

fn not_found() -> Response {
    let hint = "indexes are at <arch>/<build profile>/<chost>/Packages; `swarm binhost show` prints the addresses";
    refusal(StatusCode::NOT_FOUND, "no such file in the binhost", Some(hint))
}

fn refusal(status: StatusCode, error: &str, hint: Option<&str>) -> Response {
    let mut body = serde_json::json!({ "error": error });
    if let Some(hint) = hint {
        body["hint"] = hint.into();
    }
    (status, axum::Json(body)).into_response()
}

/// The path below the root a request names; none for one that names nothing we show.
fn relative(encoded: &str) -> Option<PathBuf> {
    if encoded.len() > MAX_PATH {
        return None;
    }
    let decoded = decode(encoded.strip_prefix('/').unwrap_or(encoded))?;
    let path = Path::new(&decoded);
    for part in path.components() {
        let Component::Normal(name) = part else { return None };
        if !is_shown(name.to_str()?) {
            return None;
        }
    }
    // components() forgives `a//b` and `a/./b`; one file has one address
    let exact = path.components().map(|part| part.as_os_str().to_string_lossy()).collect::<Vec<_>>().join("/");
    (exact == decoded && !decoded.is_empty()).then(|| path.to_owned())
}

/// Hidden and temporary files, uploads on their way and what Portage leaves of a broken build are nobody's business.
fn is_shown(name: &str) -> bool {
    let broken = name.contains(".gpkg.tar") && !name.ends_with(".gpkg.tar");
    let unfinished = [".tmp", ".part", ".partial", "~"].iter().any(|ending| name.ends_with(ending));
    !name.starts_with('.') && name != "incoming" && !broken && !unfinished
}

/// Percent-decoding; none for a malformed escape, text that is not UTF-8, or control characters.
fn decode(encoded: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut rest = encoded.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || char::from(rest.next()?).to_digit(16);
        let (high, low) = (digit()?, digit()?);
        bytes.push(u8::try_from(high * 16 + low).ok()?);
    }
    let text = String::from_utf8(bytes).ok()?;
    (!text.chars().any(char::is_control)).then_some(text)
}

/// An open file and what is said about it. All of it is of one moment: a rename in between changes nothing.
struct Found {
    file: fs_err::File,
    name: String,
    size: u64,
    modified: SystemTime,
    tag: String,
}

fn open_in(roots: &[PathBuf], relative: &Path) -> io::Result<Option<Found>> {
    for root in roots {
        if let Some(found) = open(root, relative)? {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

fn open(root: &Path, relative: &Path) -> io::Result<Option<Found>> {
    // not by fs_err: its errors hide the number
    let resolved = root.canonicalize().and_then(|root| Ok((root.join(relative).canonicalize()?, root)));
    let path = match resolved {
        // a link may lead elsewhere below the root, never out of it
        Ok((path, root)) if path.starts_with(&root) => path,
        Ok(_) => return Ok(None),
        Err(error) if is_absent(&error) => return Ok(None),
        Err(error) => return Err(io::Error::new(error.kind(), format!("resolve {}: {error}", relative.display()))),
    };
    // a pipe without a writer would block
    if !fs_err::metadata(&path).is_ok_and(|found| found.is_file()) {
        return Ok(None);
    }
    let file = match fs_err::File::open(&path) {
        Ok(file) => file,
        Err(error) if is_absent(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    let found = file.metadata()?;
    let (size, modified) = (found.len(), found.modified()?);
    let since = modified.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let name = relative.file_name().unwrap_or_default().to_string_lossy().into_owned();
    // the index is also sent compressed under the same tag: a weak one
    let weak = if name == "Packages" { "W/" } else { "" };
    let tag = format!("{weak}\"{size:x}-{:x}\"", since.as_nanos());
    Ok(Some(Found { file, name, size, modified, tag }))
}

/// No such file, as far as a stranger is concerned.
fn is_absent(error: &io::Error) -> bool {
    let kinds = [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory, io::ErrorKind::PermissionDenied];
    let odd = [nix::libc::ELOOP, nix::libc::ENAMETOOLONG];
    kinds.contains(&error.kind()) || error.raw_os_error().is_some_and(|number| odd.contains(&number))
}

async fn respond(found: Found, asked: &HeaderMap, head: bool) -> Response {
    if is_unchanged(&found, asked) {
        return answer(StatusCode::NOT_MODIFIED, &found, Body::empty(), &[]);
    }
    let range = asked.get(RANGE).and_then(|range| range.to_str().ok()).filter(|_| range_holds(&found, asked));
    let size = found.size;
    match wanted(range, size) {
        Wanted::Whole => {
            let mut response = send(StatusCode::OK, found, 0, size, head, None).await;
            // a range of it is wanted as it is on disk, all of it may be packed
            if range.is_none() && response.headers().get(ETAG).is_some_and(|tag| tag.as_bytes().starts_with(b"W/")) {
                response.extensions_mut().insert(Compressible);
            }
            response
        }
        Wanted::Part(from, to) => {
            let span = format!("bytes {from}-{to}/{size}");
            send(StatusCode::PARTIAL_CONTENT, found, from, to - from + 1, head, Some(span)).await
        }
        Wanted::Nothing => {
            let mut response =
                refusal(StatusCode::RANGE_NOT_SATISFIABLE, "the file has no such bytes", Some("ask without Range"));
            if let Ok(value) = HeaderValue::from_str(&format!("bytes */{size}")) {
                response.headers_mut().insert(CONTENT_RANGE, value);
            }
            response
        }
    }
}

async fn send(status: StatusCode, found: Found, from: u64, length: u64, head: bool, span: Option<String>) -> Response {
    let mut headers = vec![(CONTENT_LENGTH, length.to_string())];
    headers.extend(span.map(|span| (CONTENT_RANGE, span)));
    if head {
        return answer(status, &found, Body::empty(), &headers);
    }
    let (file, path) = match found.file.try_clone() {
        Ok(file) => file.into_parts(),
        Err(error) => {
            tracing::error!(%error, "a file of the binhost could not be read");
            return refusal(StatusCode::INTERNAL_SERVER_ERROR, "the file could not be read", None);
        }
    };
    let mut file = tokio::fs::File::from_std(file);
    if let Err(error) = file.seek(io::SeekFrom::Start(from)).await {
        tracing::error!(%error, path = %path.display(), "a file of the binhost could not be read");
        return refusal(StatusCode::INTERNAL_SERVER_ERROR, "the file could not be read", None);
    }
    let body = Body::from_stream(ReaderStream::with_capacity(file.take(length), PIECE));
    answer(status, &found, body, &headers)
}

fn answer(status: StatusCode, found: &Found, body: Body, more: &[(HeaderName, String)]) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let mut set = |name: HeaderName, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    set(ACCEPT_RANGES, "bytes");
    set(CONTENT_TYPE, content_type(&found.name));
    set(X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(LAST_MODIFIED, &httpdate::fmt_http_date(found.modified));
    set(ETAG, &found.tag);
    // a proxy may keep it, but asks before it gives it out: an index changes under its name
    set(CACHE_CONTROL, "no-cache");
    for (name, value) in more {
        set(name.clone(), value);
    }
    response
}

fn content_type(name: &str) -> &'static str {
    match name.rsplit_once('.').map(|(_, ending)| ending) {
        _ if name == "Packages" => "text/plain; charset=utf-8",
        Some("tar") => "application/x-tar",
        Some("gz") => "application/gzip",
        Some("asc") => "application/pgp-keys",
        Some("json") => "application/json",
        Some(_) | None => "application/octet-stream",
    }
}

/// If-None-Match decides; only without it does If-Modified-Since.
fn is_unchanged(found: &Found, asked: &HeaderMap) -> bool {
    if let Some(tags) = asked.get(IF_NONE_MATCH) {
        let strip = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
        let tags = tags.to_str().unwrap_or_default();
        return tags.split(',').any(|tag| tag.trim() == "*" || strip(tag) == strip(&found.tag));
    }
    // Taken at its word, Portage would miss a generation that followed its copy within those seconds, until the next one.
    let is_portage = asked.get(USER_AGENT).is_some_and(|agent| agent.as_bytes().starts_with(PORTAGE));
    let tolerance = if is_portage { PORTAGE_TOLERANCE } else { 0 };
    let modified = durable::seconds(found.modified);
    date(asked, &IF_MODIFIED_SINCE).is_some_and(|since| modified + tolerance <= durable::seconds(since))
}

/// Whether a Range counts: If-Range, if there, must name exactly this version.
fn range_holds(found: &Found, asked: &HeaderMap) -> bool {
    let Some(condition) = asked.get(IF_RANGE) else { return true };
    if condition.as_bytes() == found.tag.as_bytes() {
        return !found.tag.starts_with("W/");
    }
    date(asked, &IF_RANGE).is_some_and(|moment| durable::seconds(found.modified) == durable::seconds(moment))
}

fn date(asked: &HeaderMap, name: &HeaderName) -> Option<SystemTime> {
    httpdate::parse_http_date(asked.get(name)?.to_str().ok()?).ok()
}

#[cfg(test)]
mod tests {
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
        assert_eq!(
            (&headers[ACCEPT_RANGES], &headers[LAST_MODIFIED]),
            (&"bytes".parse().unwrap(), &DATE.parse().unwrap())
        );

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
        for hidden in
            ["amd64/.swarm-x1", "incoming/1.gpkg.tar", "amd64/a-1.gpkg.tar0Xyz.77", "amd64/a.part", "amd64/b~"]
        {
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
        for path in ["/amd64/stable/x/Packages", "/amd64/base/x/gtk+-3-1.gpkg.tar", "/amd64/base/x/gtk%2B-3-1.gpkg.tar"]
        {
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
}
