//! The client of an address: which protocol, which endpoint, whose credentials.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, Checksum};
use object_store::azure::MicrosoftAzureBuilder;
use object_store::client::HttpConnector;
use object_store::gcp::{GcpCredential, GoogleCloudStorageBuilder, GoogleConfigKey};
use object_store::http::HttpBuilder;
use object_store::list::PaginatedListStore;
use object_store::multipart::MultipartStore;
use object_store::path::Path;
use object_store::{
    BackoffConfig, ClientOptions, ObjectStore, RetryConfig, StaticCredentialProvider,
};
use url::{Position, Url};

use super::aws_profile;
use super::connection::{Connector, ServerClock};
use super::container;
use super::environment::Environment;
use super::uploads::Uploads;

/// How long the server may take to accept a connection.
const CONNECT: Duration = Duration::from_secs(10);
/// How long one request may take in all. At the slowest rate that is of use, 16 MiB come in this time.
const REQUEST: Duration = Duration::from_secs(120);
/// How long a request is tried again, and how often.
const RETRIES: usize = 4;
const RETRY: Duration = Duration::from_secs(60);

/// The region that a signature has where none is configured.
const DEFAULT_REGION: &str = "us-east-1";

/// A client, and the path of the address in what it reads.
pub(super) struct Opened {
    pub(super) store: Arc<dyn ObjectStore>,
    /// The same client, where objects can be uploaded in parts.
    pub(super) parts: Option<Arc<dyn MultipartStore>>,
    /// The same client, where lists have pages.
    pub(super) pages: Option<Arc<dyn PaginatedListStore>>,
    pub(super) root: Path,
    pub(super) clock: Arc<ServerClock>,
    /// What lists uploads, where the server does.
    pub(super) uploads: Option<Uploads>,
}

/// The client of an address.
pub(super) fn open(address: &str, environment: &Environment) -> Result<Opened, String> {
    let url = Url::parse(address).map_err(|error| format!("it is no URL: {error}"))?;
    let root = Path::from_url_path(url.path()).map_err(|error| error.to_string())?;
    let text = |error: object_store::Error| super::reason::of(&error);
    let connector = Connector::default();
    let mut uploads = None;
    let (store, parts, pages) = match url.scheme() {
        "s3" | "s3a" => {
            let (builder, options) = s3(&url, environment, &connector)?;
            let region = builder.get_config_value(&AmazonS3ConfigKey::Region);
            let region = region.unwrap_or_else(|| DEFAULT_REGION.to_owned());
            let builder = builder.with_http_connector(connector.clone());
            let store = Arc::new(builder.build().map_err(text)?);
            let client = connector.connect(&options).map_err(text)?;
            uploads = Some(Uploads { store: Arc::clone(&store), client, region });
            all(store)
        }
        "gs" => {
            let builder = gcs(&url, environment).with_http_connector(connector.clone());
            all(Arc::new(builder.build().map_err(text)?))
        }
        "az" => {
            let builder = MicrosoftAzureBuilder::new().with_url(bucket(&url));
            let options = environment.options("AZURE_");
            let http = options.iter().any(|(_, value)| value.starts_with("http://"));
            let builder =
                options.into_iter().fold(builder, |builder, (key, value)| match key.parse() {
                    Ok(key) => builder.with_config(key, value),
                    Err(_) => builder,
                });
            let builder = builder.with_client_options(client(http)).with_retry(retry());
            let builder = builder.with_http_connector(connector.clone());
            all(Arc::new(builder.build().map_err(text)?))
        }
        "http" | "https" => {
            // The query stays: it may be a signature.
            let query = url.query().map_or_else(String::new, |query| format!("/?{query}"));
            let server = format!("{}{query}", &url[..Position::BeforePath]);
            let options = client(url.scheme() == "http");
            let builder = HttpBuilder::new().with_url(server).with_client_options(options);
            let store = builder.with_retry(retry()).build().map_err(text)?;
            (Arc::new(store) as Arc<dyn ObjectStore>, None, None)
        }
        other => return Err(format!("{other}:// is no object storage that can be read")),
    };
    Ok(Opened { store, parts, pages, root, clock: connector.clock, uploads })
}

type Clients =
    (Arc<dyn ObjectStore>, Option<Arc<dyn MultipartStore>>, Option<Arc<dyn PaginatedListStore>>);

fn all<S: ObjectStore + MultipartStore + PaginatedListStore>(client: Arc<S>) -> Clients {
    (Arc::<S>::clone(&client), Some(Arc::<S>::clone(&client)), Some(client))
}

fn s3(
    url: &Url,
    environment: &Environment,
    connector: &Connector,
) -> Result<(AmazonS3Builder, ClientOptions), String> {
    let mut builder = AmazonS3Builder::new().with_url(bucket(url));
    for (key, value) in environment.options("AWS_") {
        if let Ok(key) = key.parse::<AmazonS3ConfigKey>() {
            builder = builder.with_config(key, value);
        }
    }
    // The name that AWS's programs have for it.
    if let Some(endpoint) = environment.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") {
        builder = builder.with_metadata_endpoint(endpoint);
    }
    let service = environment.get("AWS_ENDPOINT_URL_STS").unwrap_or("https://");
    if !service.starts_with("https://") && environment.get("AWS_WEB_IDENTITY_TOKEN_FILE").is_some()
    {
        return Err("AWS_ENDPOINT_URL_STS: a token is sent over https:// alone".to_owned());
    }
    let profile = aws_profile::read(environment)?;
    let endpoint = ["AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"];
    let endpoint = endpoint.into_iter().find_map(|name| environment.get(name));
    let endpoint = endpoint.map(str::to_owned).or(profile.endpoint);
    let region = ["AWS_REGION", "AWS_DEFAULT_REGION"];
    let region = region.into_iter().find_map(|name| environment.get(name)).map(str::to_owned);
    if let Some(region) = region.or(profile.region) {
        builder = builder.with_region(region);
    }
    if let Some(credentials) = profile.credentials {
        builder = builder.with_credentials(credentials);
    } else if !has_others(environment)
        && let Some(credentials) = container::provider(environment, || {
            connector.connect(&client(true)).map_err(|error| super::reason::of(&error))
        })?
    {
        builder = builder.with_credentials(credentials);
    }
    // An endpoint without TLS was typed so.
    let http = endpoint.as_ref().is_some_and(|endpoint| endpoint.starts_with("http://"));
    if let Some(endpoint) = endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    // The digest is that of the signature: it costs nothing more. Its name is AWS's own.
    let only_where_needed = environment
        .get("AWS_REQUEST_CHECKSUM_CALCULATION")
        .is_some_and(|wanted| wanted.eq_ignore_ascii_case("when_required"));
    if environment.get("AWS_CHECKSUM_ALGORITHM").is_none() && !only_where_needed {
        builder = builder.with_checksum_algorithm(Checksum::SHA256);
    }
    let options = client(http);
    Ok((builder.with_client_options(options.clone()).with_retry(retry()), options))
}

/// Whether there are credentials that come before a container's, or none are wanted.
fn has_others(environment: &Environment) -> bool {
    let is_set = |name: &str| environment.get(name).is_some();
    let unsigned = environment.get("AWS_SKIP_SIGNATURE").is_some_and(|set| set != "false");
    let web = is_set("AWS_WEB_IDENTITY_TOKEN_FILE") && is_set("AWS_ROLE_ARN");
    is_set("AWS_ACCESS_KEY_ID") || web || unsigned
}

/// Google's: as its own programs do, an emulator is asked without TLS and credentials.
fn gcs(url: &Url, environment: &Environment) -> GoogleCloudStorageBuilder {
    let mut builder = GoogleCloudStorageBuilder::new().with_url(bucket(url));
    for (key, value) in environment.options("GOOGLE_") {
        if let Ok(key) = key.parse() {
            builder = builder.with_config(key, value);
        }
    }
    if let Some(host) = environment.get("STORAGE_EMULATOR_HOST") {
        let host = host.trim_end_matches('/');
        let scheme = if host.contains("://") { "" } else { "http://" };
        builder = builder.with_base_url(&format!("{scheme}{host}")).with_skip_signature(true);
    }
    if builder.get_config_value(&GoogleConfigKey::SkipSignature).as_deref() == Some("true") {
        // The client asks for a token all the same before it writes.
        let none = GcpCredential { bearer: String::new() };
        builder = builder.with_credentials(Arc::new(StaticCredentialProvider::new(none)));
    }
    let endpoint = builder.get_config_value(&GoogleConfigKey::BaseUrl);
    let http = endpoint.is_some_and(|endpoint| endpoint.starts_with("http://"));
    builder.with_client_options(client(http)).with_retry(retry())
}

/// The address without its path.
fn bucket(url: &Url) -> String {
    format!("{}/", &url[..Position::BeforePath])
}

fn client(allow_http: bool) -> ClientOptions {
    ClientOptions::new()
        .with_connect_timeout(CONNECT)
        .with_timeout(REQUEST)
        .with_allow_http(allow_http)
}

fn retry() -> RetryConfig {
    let backoff = BackoffConfig { max_backoff: Duration::from_secs(5), ..BackoffConfig::default() };
    RetryConfig { backoff, max_retries: RETRIES, retry_timeout: RETRY }
}
