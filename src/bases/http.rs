//! Speaks to web servers: one request, one answer; proxies and certificates as the environment has them.

use std::io::Read;

use ureq::config::Config;
use ureq::http::header::{CONTENT_LENGTH, CONTENT_RANGE, ETAG, LAST_MODIFIED, LOCATION};
use ureq::http::{HeaderName, Response};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body, Proxy, ProxyProtocol};

use super::fetch_options::FetchOptions;
use super::url::Url;
use crate::bounded;
use crate::environment;
use crate::error::{Advice, Error, Result};

/// What to do where nothing better is known.
const HINT_NETWORK: &str =
    "check the network, the name of the mirror, and https_proxy and no_proxy";

/// Who asks.
const AGENT: &str = concat!("remaster/", env!("CARGO_PKG_VERSION"));

/// Asks servers.
#[derive(Debug)]
pub(super) struct Client {
    origin: FetchOptions,
    roots: RootCerts,
}

/// The answer to a request.
pub(super) struct Answer {
    /// What was asked for.
    pub(super) url: Url,
    pub(super) status: u16,
    /// `Content-Length`.
    pub(super) length: Option<u64>,
    /// `Content-Range`.
    pub(super) range: Option<String>,
    /// `ETag`.
    pub(super) etag: Option<String>,
    /// `Last-Modified`.
    pub(super) modified: Option<String>,
    /// `Location`.
    pub(super) location: Option<String>,
    /// The content, as it comes.
    pub(super) body: Box<dyn Read>,
}

/// Bytes of certificates in PEM: a system's own have some 200 KiB.
const LARGEST_PEM: u64 = 16 << 20;

impl Client {
    pub(super) fn new(origin: &FetchOptions) -> Result<Self> {
        let roots = match &origin.ca_file {
            None => RootCerts::PlatformVerifier,
            Some(path) => {
                let name = path.display();
                let text = bounded::read(path, LARGEST_PEM, &format!("read {name}"))?;
                let items: Result<Vec<_>, _> = parse_pem(&text).collect();
                let certificates: Vec<_> = items
                    .map_err(|fault| Error::Usage {
                        what: format!("{name} has a damaged certificate: {fault}"),
                        hint: "take it out, or get the file again".into(),
                    })?
                    .into_iter()
                    .filter_map(|item| match item {
                        PemItem::Certificate(found) => Some(found),
                        _ => None,
                    })
                    .collect();
                if certificates.is_empty() {
                    return Err(Error::Usage {
                        what: format!("{name} holds no certificate"),
                        hint: "give certificates in PEM, as /etc/ssl/certs/ca-certificates.crt has them".into(),
                    });
                }
                RootCerts::new_with_certs(&certificates)
            }
        };
        Ok(Self { origin: origin.clone(), roots })
    }

    /// Asks for `url`. Redirects are answers like all others.
    pub(super) fn get(&self, url: &Url, headers: &[(&str, String)]) -> Result<Answer> {
        let proxy = proxy(url)?;
        let agent = Agent::new_with_config(self.config(proxy.clone()));
        let mut request = agent.get(url.to_string());
        for (name, value) in headers {
            request = request.header(*name, value);
        }
        let answer = request.call().map_err(|fault| self.fault(url, proxy.as_ref(), fault))?;
        Ok(taken_apart(url, answer))
    }

    fn config(&self, proxy: Option<Proxy>) -> Config {
        let time = Some(self.origin.timeout);
        Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .user_agent(AGENT)
            .accept_encoding("identity")
            .proxy(proxy)
            .tls_config(TlsConfig::builder().root_certs(self.roots.clone()).build())
            .timeout_resolve(time)
            .timeout_connect(time)
            .timeout_recv_response(time)
            .timeout_per_read(time)
            .timeout_per_write(time)
            .build()
    }

    fn fault(&self, url: &Url, proxy: Option<&Proxy>, fault: ureq::Error) -> Error {
        let through = proxy
            .map(|proxy| format!(", through the proxy {}:{}", proxy.host(), proxy.port()))
            .unwrap_or_default();
        let (reason, hint) = match fault {
            ureq::Error::Timeout(at) => (
                format!("no answer in {} s ({at})", self.origin.timeout.as_secs()),
                Advice::SlowServer,
            ),
            ureq::Error::HostNotFound => {
                (format!("no host {} is known", url.host()), HINT_NETWORK.into())
            }
            ureq::Error::Tls(_) | ureq::Error::Rustls(_) => {
                (format!("TLS: {fault}"), Advice::NameAuthority)
            }
            ureq::Error::Io(fault) if is_tls(&fault) => {
                (format!("TLS: {fault}"), Advice::NameAuthority)
            }
            other => (other.to_string(), HINT_NETWORK.into()),
        };
        Error::Network { url: url.to_string(), reason: reason + &through, hint }
    }
}

fn is_tls(fault: &std::io::Error) -> bool {
    fault.kind() == std::io::ErrorKind::InvalidData
}

fn taken_apart(url: &Url, answer: Response<Body>) -> Answer {
    let header = |name: HeaderName| {
        let value = answer.headers().get(name)?.to_str().ok()?;
        Some(value.trim().to_owned())
    };
    Answer {
        url: url.clone(),
        status: answer.status().as_u16(),
        length: header(CONTENT_LENGTH).and_then(|length| length.parse().ok()),
        range: header(CONTENT_RANGE),
        etag: header(ETAG),
        modified: header(LAST_MODIFIED),
        location: header(LOCATION),
        body: Box::new(answer.into_body().into_reader()),
    }
}

/// The proxy that the environment wants for this address, as curl reads it. `HTTP_PROXY` does not count: a web
/// server sets it from a header of the request (CVE-2016-5385).
fn proxy(url: &Url) -> Result<Option<Proxy>> {
    let own = format!("{}_proxy", url.scheme());
    let names = [own.clone(), own.to_uppercase(), "all_proxy".to_owned(), "ALL_PROXY".to_owned()];
    let names = names.iter().filter(|name| *name != "HTTP_PROXY");
    let mut set = names.filter_map(|name| {
        let value = environment::text(name).transpose()?;
        Some(value.map(|value| (name, value)))
    });
    let is_given =
        |set: &Result<(&String, String)>| set.as_ref().map_or(true, |(_, v)| !v.is_empty());
    let Some((name, value)) = set.find(is_given).transpose()? else { return Ok(None) };
    let exempt = environment::text("no_proxy")?;
    let exempt = exempt.map_or_else(|| environment::text("NO_PROXY"), |set| Ok(Some(set)))?;
    if is_exempt(url.host(), &exempt.unwrap_or_default()) {
        return Ok(None);
    }
    let proxy = Proxy::new(&value).ok().filter(|_| has_sound_port(&value));
    let known =
        |proxy: &Proxy| matches!(proxy.protocol(), ProxyProtocol::Http | ProxyProtocol::Https);
    proxy.filter(known).map(Some).ok_or_else(|| Error::Usage {
        what: format!("{name} is not an address of a proxy that can be used"),
        hint: "set it to http://HOST:PORT or https://HOST:PORT, or unset it".into(),
    })
}

/// Whether the port of a proxy is one, if there is any: ureq takes its own for one that is not.
fn has_sound_port(value: &str) -> bool {
    let rest = value.split_once("://").map_or(value, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let behind = host.rsplit_once(']').map_or(host, |(_, behind)| behind);
    behind.rsplit_once(':').is_none_or(|(_, port)| {
        let is_number = port.bytes().all(|digit| digit.is_ascii_digit());
        is_number && port.parse::<u16>().is_ok_and(|port| port > 0)
    })
}

/// Whether `no_proxy` names the host or a domain it is in.
fn is_exempt(host: &str, exempt: &str) -> bool {
    let host = host.to_ascii_lowercase();
    exempt.split(',').map(|entry| entry.trim().to_ascii_lowercase()).any(|entry| {
        let domain = entry.trim_start_matches('*').trim_start_matches('.');
        let is_all = entry == "*";
        let within =
            host.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'));
        is_all || (!domain.is_empty() && within)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_of_a_proxy_is_a_number() {
        for sound in [
            "http://a:80",
            "a:3128",
            "http://a",
            "a",
            "http://u:p@a:1/",
            "http://[::1]:80",
            "[::1]",
        ] {
            assert!(has_sound_port(sound), "{sound}");
        }
        for odd in [
            "http://a:99999",
            "http://a:9x",
            "a:",
            "a:b",
            "a:0",
            "http://u:p@a:",
            "[::1]:x",
            "a:+80",
        ] {
            assert!(!has_sound_port(odd), "{odd}");
        }
    }

    #[test]
    fn no_proxy_names_hosts_and_domains() {
        for (host, exempt, expected) in [
            ("a.example.org", "example.org", true),
            ("a.example.org", "x, .Example.org", true),
            ("a.example.org", "*.example.org", true),
            ("a.example.org", "*", true),
            ("127.0.0.1", "localhost,127.0.0.1", true),
            ("badexample.org", "example.org", false),
            ("example.org", "a.example.org", false),
            ("example.org", "", false),
            ("example.org", ",", false),
        ] {
            assert_eq!(is_exempt(host, exempt), expected, "{host} {exempt}");
        }
    }
}
