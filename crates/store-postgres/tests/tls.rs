//! Encrypted connections to a Postgres of its own, with certificates made here.
#![cfg(unix)]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use endspan_store::{
    SpanStore, WriteOperation,
    conformance::{ended_span, request},
};
use endspan_store_postgres::{Options, PostgresStore, migrate};
use endspan_testkit::TestPostgres;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
use tokio_postgres::NoTls;

use crate::support::block_on;

/// A Postgres that takes only encrypted connections from the network: of `endspan` by password, of `certified` by
/// a certificate.
struct Server {
    postgres: TestPostgres,
    /// Where the certificates for clients are.
    folder: tempfile::TempDir,
}

fn made_authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// The certificate and the key of a host or a user, as PEM.
fn certified(authority: &CertifiedIssuer<'_, KeyPair>, name: &str) -> (String, String) {
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let key = KeyPair::generate().unwrap();
    (params.signed_by(&key, authority).unwrap().pem(), key.serialize_pem())
}

impl Server {
    async fn start() -> Option<Self> {
        let postgres = TestPostgres::private_on_a_port(&[])?;
        let folder = tempfile::tempdir().unwrap();
        let authority = made_authority("the authority");
        let (certificate, key) = certified(&authority, "localhost");
        let (client, client_key) = certified(&authority, "certified");
        let other = made_authority("another authority").pem();
        for (name, content) in [
            ("authority.crt", &authority.pem()),
            ("server.crt", &certificate),
            ("client.crt", &client),
            ("client.key", &client_key),
            ("other.crt", &other),
        ] {
            std::fs::write(folder.path().join(name), content).unwrap();
        }
        postgres.place("server.crt", &certificate).unwrap();
        postgres.place("server.key", &key).unwrap();
        postgres.place("authority.crt", &authority.pem()).unwrap();
        let rules =
            "local all postgres trust\nhostssl all certified all cert\nhostssl all all all scram-sha-256\n";
        postgres.place("pg_hba.conf", rules).unwrap();
        let server = Self { postgres, folder };
        server
            .administer(&[
                "CREATE USER endspan PASSWORD 'secret'",
                "CREATE USER certified",
                "GRANT CREATE ON DATABASE postgres TO endspan, certified",
                "ALTER SYSTEM SET ssl = on",
                "ALTER SYSTEM SET ssl_ca_file = 'authority.crt'",
                "SELECT pg_reload_conf()",
            ])
            .await;
        Some(server)
    }

    async fn administer(&self, statements: &[&str]) {
        let (client, connection) = tokio_postgres::connect(&self.postgres.url(), NoTls).await.unwrap();
        tokio::spawn(connection);
        for statement in statements {
            client.batch_execute(statement).await.unwrap();
        }
    }

    fn file(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn options(&self, host: &str, user: &str, more: &str) -> Options {
        let port = self.postgres.port().unwrap();
        let mut options = Options::new(format!("postgres://{user}@{host}:{port}/postgres?{more}"));
        options.schema = user.split(':').next().unwrap().to_owned();
        options
    }
}

#[test]
fn a_connection_is_as_safe_as_its_url_asks_for() {
    block_on(async {
        let Some(server) = Server::start().await else { return };
        let (authority, other) = (server.file("authority.crt"), server.file("other.crt"));
        let (own, client, key) =
            (server.file("server.crt"), server.file("client.crt"), server.file("client.key"));
        let shown = format!("sslmode=verify-full&sslrootcert={authority}&sslcert={client}&sslkey={key}");
        // `None` for what succeeds.
        let cases: [(&str, &str, String, Option<&str>); 14] = [
            ("localhost", "endspan:secret", String::new(), None),
            ("localhost", "endspan:secret", "sslmode=require".to_owned(), None),
            ("localhost", "endspan:secret", "channel_binding=require".to_owned(), None),
            ("localhost", "endspan:wrong", String::new(), Some("password authentication failed")),
            ("localhost", "endspan:secret", "sslmode=disable".to_owned(), Some("no encryption")),
            ("127.0.0.1", "endspan:secret", format!("sslmode=verify-ca&sslrootcert={authority}"), None),
            (
                "127.0.0.1",
                "endspan:secret",
                format!("sslmode=require&sslrootcert={other}"),
                Some("UnknownIssuer"),
            ),
            (
                "localhost",
                "endspan:secret",
                format!("sslmode=verify-ca&sslrootcert={other}"),
                Some("UnknownIssuer"),
            ),
            ("localhost", "endspan:secret", format!("sslmode=verify-full&sslrootcert={authority}"), None),
            (
                "127.0.0.1",
                "endspan:secret",
                format!("sslmode=verify-full&sslrootcert={authority}"),
                Some("not valid for name"),
            ),
            ("localhost", "endspan:secret", format!("sslmode=verify-full&sslrootcert={own}"), None),
            (
                "localhost",
                "endspan:secret",
                "sslmode=verify-full&sslrootcert=system".to_owned(),
                Some("certificate"),
            ),
            (
                "localhost",
                "certified",
                format!("sslmode=verify-full&sslrootcert={authority}"),
                Some("certificate"),
            ),
            ("localhost", "certified", shown, None),
        ];
        for (host, user, more, refused) in cases {
            let migrated = migrate(&server.options(host, user, &more)).await;
            match refused {
                None => assert!(migrated.is_ok(), "{user}@{host} {more}: {migrated:?}"),
                Some(reason) => {
                    let error = migrated.unwrap_err().to_string();
                    assert!(error.contains(reason), "{user}@{host} {more}: {error}");
                }
            }
        }
    });
}

#[test]
fn a_store_works_and_stays_inside_tls() {
    block_on(async {
        let Some(server) = Server::start().await else { return };
        let more = format!("sslmode=verify-full&sslrootcert={}", server.file("authority.crt"));
        let options = server.options("localhost", "endspan:secret", &more);
        migrate(&options).await.unwrap();
        let store = PostgresStore::open(options).await.unwrap();
        let write = |id: &str| store.write(request(vec![WriteOperation::Upsert(ended_span("t", id))]));
        write("before").await.unwrap();
        let (client, connection) = tokio_postgres::connect(&server.postgres.url(), NoTls).await.unwrap();
        tokio::spawn(connection);
        let plain = "SELECT count(*) FILTER (WHERE ssl), count(*) FILTER (WHERE NOT ssl) \
             FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE usename = 'endspan'";
        let row = client.query_one(plain, &[]).await.unwrap();
        assert!(row.get::<_, i64>(0) > 0);
        assert_eq!(row.get::<_, i64>(1), 0);

        // Connections are made anew, encrypted again.
        server.postgres.crash().unwrap();
        server.postgres.start().unwrap();
        write("after").await.unwrap();
        for id in ["before", "after"] {
            assert!(store.find_span(None, &id.into()).await.unwrap().is_some());
        }
        store.close().await.unwrap();
    });
}
