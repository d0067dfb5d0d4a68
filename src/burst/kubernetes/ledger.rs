//! Claims as Secrets, and the book as another.

use async_trait::async_trait;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Value, json};

use super::{NAMESPACE, PART, SYSTEM, Store, refused, unavailable, version, written};
use crate::{
    burst::{
        claim::{Book, Claim, Ledger, LedgerError, Version},
        offer::Money,
    },
    kube::Kind,
};

pub(super) const MAP: Kind = Kind::new("v1", "ConfigMap");
/// In `kube-system`, which outlives the namespace of the claims.
pub const SPENT: &str = "hoist-burst-spent";
pub(super) const SECRET: Kind = Kind::new("v1", "Secret");
const BOOK: &str = "book";
/// A Secret takes a mebibyte. What a console says last is what counts.
const CONSOLE: usize = 256 * 1024;
/// How many are kept.
const CONSOLES: usize = 10;

#[async_trait]
impl Ledger for Store {
    async fn claims(&self) -> Result<Vec<(Claim, Version)>, LedgerError> {
        let found = self.api.objects(SECRET, Some(NAMESPACE), &format!("{PART}=claim")).await;
        let found = found.map_err(|error| unavailable(&error))?;
        // No claims at all would end all instances: that has to be the word of an API server that knows what it serves.
        if found.is_empty() && !self.only_reads {
            let namespace = self.api.object(Kind::new("v1", "Namespace"), None, NAMESPACE).await;
            if namespace.map_err(|error| unavailable(&error))?.is_none() {
                let reason = format!("there is no namespace {NAMESPACE}");
                return Err(LedgerError::Unavailable { reason });
            }
        }
        found.iter().map(|object| Ok((claim(object)?, version(object)?))).collect()
    }

    async fn create(&self, claim: &Claim) -> Result<Version, LedgerError> {
        let done = self.api.create(secret("claim", &claim.name, claim, None)).await;
        written(&claim.name, done)
    }

    async fn update(&self, claim: &Claim, version: &Version) -> Result<Version, LedgerError> {
        let done = self.api.replace(secret("claim", &claim.name, claim, Some(version))).await;
        written(&claim.name, done)
    }

    async fn delete(&self, claim: &str, version: &Version) -> Result<(), LedgerError> {
        let done = self.api.delete_version(SECRET, Some(NAMESPACE), claim, version).await;
        done.map(drop).map_err(|error| refused(claim, &error))
    }

    async fn book(&self) -> Result<(Book, Option<Version>), LedgerError> {
        let found = self.api.object(SECRET, Some(NAMESPACE), BOOK).await;
        match found.map_err(|error| unavailable(&error))? {
            Some(object) => Ok((read(&object, "the book")?, Some(version(&object)?))),
            None => Ok((Book::default(), None)),
        }
    }

    async fn save(&self, book: &Book, version: Option<&Version>) -> Result<Version, LedgerError> {
        let object = secret(BOOK, BOOK, book, version);
        let done = match version {
            Some(_) => self.api.replace(object).await,
            None => self.api.create(object).await,
        };
        written("the book", done)
    }

    async fn kept_sum(&self) -> Result<Option<(String, Money)>, LedgerError> {
        let found = self.api.object(MAP, Some(SYSTEM), SPENT).await;
        let Some(object) = found.map_err(|error| unavailable(&error))? else { return Ok(None) };
        let text = |key: &str| object["data"][key].as_str();
        let sum = text("millionths").and_then(|sum| sum.parse().ok());
        if text("month").or(text("millionths")).is_none() {
            // Only where the workers are is known yet.
            return Ok(None);
        }
        let kept = text("month").map(str::to_owned).zip(sum.map(Money));
        // What was spent is not known: whoever goes on as if it were nothing spends it twice.
        kept.map(Some).ok_or_else(|| LedgerError::Unreadable {
            what: format!("ConfigMap {SYSTEM}/{SPENT}"),
            reason: "it has no `month` with a number of `millionths`".to_owned(),
        })
    }

    async fn keep_sum(&self, month: &str, sum: Money) -> Result<(), LedgerError> {
        let data = json!({"month": month, "millionths": sum.0.to_string()});
        self.keep_beside(&data, "the month's sum").await
    }

    async fn keep_console(&self, claim: &str, output: &str) -> Result<(), LedgerError> {
        let mut begin = output.len().saturating_sub(CONSOLE);
        while !output.is_char_boundary(begin) {
            begin += 1;
        }
        let mut object = secret("console", &format!("console-{claim}"), &(), None);
        object["data"] = json!({"output": STANDARD.encode(&output[begin..])});
        let done = self.api.create(object).await;
        match written(claim, done) {
            // What was said first is kept: it is of the time of the failure.
            Ok(_) | Err(LedgerError::Conflict { .. }) => self.forget_consoles().await,
            Err(error) => Err(error),
        }
    }
}

impl Store {
    /// Keeps the consoles of the last nodes that did not join.
    async fn forget_consoles(&self) -> Result<(), LedgerError> {
        let found = self.api.objects(SECRET, Some(NAMESPACE), &format!("{PART}=console")).await;
        let mut found = found.map_err(|error| unavailable(&error))?;
        let text =
            |object: &Value, key: &str| object["metadata"][key].as_str().unwrap_or_default().to_owned();
        found.sort_by_key(|object| (text(object, "creationTimestamp"), text(object, "name")));
        for old in found.iter().rev().skip(CONSOLES) {
            let deleted = self.api.delete(SECRET, Some(NAMESPACE), &text(old, "name")).await;
            deleted.map_err(|error| unavailable(&error))?;
        }
        Ok(())
    }
}

/// The Secret's name is the claim's: a claim under another name would be launched as somebody else's.
fn claim(object: &Value) -> Result<Claim, LedgerError> {
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let what = format!("Secret {NAMESPACE}/{name}");
    let claim: Claim = read(object, &what)?;
    if claim.name != name {
        let reason = format!("it holds the claim {}", claim.name);
        return Err(LedgerError::Unreadable { what, reason });
    }
    Ok(claim)
}

/// The reason never quotes what is in the Secret.
pub(super) fn read<T: DeserializeOwned>(object: &Value, what: &str) -> Result<T, LedgerError> {
    let unreadable = |reason: String| LedgerError::Unreadable { what: what.to_owned(), reason };
    let text = object["data"]["json"].as_str();
    let bytes = text.and_then(|text| STANDARD.decode(text).ok());
    let bytes = bytes.ok_or_else(|| unreadable("it has no key `json`".to_owned()))?;
    serde_json::from_slice(&bytes).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        unreadable(format!("its key `json` is not understood, line {line}, column {column}"))
    })
}

pub(super) fn secret<T: Serialize>(part: &str, name: &str, value: &T, version: Option<&Version>) -> Value {
    // Claims and the book are maps of plain values, which always become JSON.
    let text = serde_json::to_vec(value).unwrap_or_default();
    let mut metadata = json!({
        "name": name, "namespace": NAMESPACE,
        "labels": {PART: part, "app.kubernetes.io/managed-by": "hoist"},
    });
    if let Some(version) = version {
        metadata["resourceVersion"] = json!(version);
    }
    json!({
        "apiVersion": SECRET.api_version, "kind": SECRET.kind, "metadata": metadata,
        "type": format!("hoist.dev/{part}"), "data": {"json": STANDARD.encode(text)},
    })
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::{
        burst::{
            controller::{Candidate, LeaseStore as _},
            time::Time,
        },
        kube::{
            self, Api,
            fake::{Answer, Fake, SERVER},
            memory::Memory,
        },
    };

    async fn api() -> (Api, Arc<Mutex<Memory>>) {
        let memory = Arc::new(Mutex::new(Memory::default()));
        let kept = memory.clone();
        let fake =
            Fake::serve(SERVER, move |_, request, body| kept.lock().unwrap().answer(request, body)).await;
        (kube::connect(fake.host(), &Fake::kubeconfig(&fake.ca)).await.unwrap(), memory)
    }

    fn claim_of(name: &str) -> Claim {
        Claim::new(name.into(), vec![], vec!["web/a".into()], Time(1_767_323_045_678))
    }

    fn is_conflict<T: std::fmt::Debug>(done: Result<T, LedgerError>) -> bool {
        matches!(done, Err(LedgerError::Conflict { .. }))
    }

    #[tokio::test]
    async fn a_claim_is_kept_until_its_last_version_is_deleted() {
        let (api, _) = api().await;
        let store = Store::open(api.clone()).await.unwrap();
        let again = Store::open(api).await.unwrap();
        let mut claim = claim_of("burst-1");
        let first = store.create(&claim).await.unwrap();
        assert!(is_conflict(again.create(&claim).await), "there is one");
        assert_eq!(again.claims().await.unwrap(), [(claim.clone(), first.clone())]);
        claim.attempt = 1;
        let second = store.update(&claim, &first).await.unwrap();
        assert!(is_conflict(again.update(&claim, &first).await), "somebody was faster");
        assert!(is_conflict(again.delete("burst-1", &first).await));
        assert_eq!(store.claims().await.unwrap(), [(claim.clone(), second.clone())]);
        store.delete("burst-1", &second).await.unwrap();
        store.delete("burst-1", &second).await.unwrap();
        assert_eq!(store.claims().await.unwrap(), []);
        assert!(is_conflict(store.update(&claim, &second).await), "it is gone");
    }

    #[tokio::test]
    async fn one_claim_that_is_not_understood_hides_no_other() {
        let (api, memory) = api().await;
        let store = Store::open(api).await.unwrap();
        store.create(&claim_of("burst-1")).await.unwrap();
        store.create(&claim_of("burst-2")).await.unwrap();
        let edit = |text: &str| {
            let mut memory = memory.lock().unwrap();
            memory.objects.find_mut("Secret", "burst-2").unwrap()["data"]["json"] =
                json!(STANDARD.encode(text));
        };
        edit("{\"name\": \"s3cr3t");
        let error = store.claims().await.unwrap_err();
        assert!(error.to_string().contains("Secret hoist-burst/burst-2"), "{error}");
        assert!(!format!("{error:?}").contains("s3cr3t"), "{error:?}");
        edit(&serde_json::to_string(&claim_of("burst-3")).unwrap());
        assert!(store.claims().await.unwrap_err().to_string().contains("holds the claim burst-3"));
    }

    #[tokio::test]
    async fn the_book_and_consoles_are_kept_beside_claims() {
        let (api, memory) = api().await;
        let store = Store::open(api).await.unwrap();
        assert_eq!(store.book().await.unwrap(), (Book::default(), None));
        let book = Book { added: Some(Time(1_767_323_045_678)), ..Book::default() };
        let first = store.save(&book, None).await.unwrap();
        assert!(is_conflict(store.save(&book, None).await));
        assert_eq!(store.book().await.unwrap(), (book.clone(), Some(first.clone())));
        store.save(&book, Some(&first)).await.unwrap();
        assert!(is_conflict(store.save(&book, Some(&first)).await));
        let long = format!("{}ü{}", "a".repeat(99), "b".repeat(CONSOLE - 1));
        store.keep_console("burst-1", &long).await.unwrap();
        store.keep_console("burst-1", "later").await.unwrap();
        let kept = memory.lock().unwrap().objects.find_mut("Secret", "console-burst-1").unwrap().clone();
        let kept = STANDARD.decode(kept["data"]["output"].as_str().unwrap()).unwrap();
        assert_eq!(String::from_utf8(kept).unwrap(), "b".repeat(CONSOLE - 1));
        assert_eq!(store.claims().await.unwrap(), []);
    }

    #[tokio::test]
    async fn the_months_sum_outlives_the_namespace() {
        let (api, memory) = api().await;
        let store = Store::open(api).await.unwrap();
        assert_eq!(store.kept_sum().await.unwrap(), None);
        for sum in [Money(7), Money(41_600)] {
            store.keep_sum("2026-02", sum).await.unwrap();
            assert_eq!(store.kept_sum().await.unwrap(), Some(("2026-02".to_owned(), sum)));
        }
        let namespace = |memory: &mut Memory| {
            memory.objects.find_mut("ConfigMap", SPENT).unwrap()["metadata"]["namespace"].clone()
        };
        assert_eq!(namespace(&mut memory.lock().unwrap()), SYSTEM);
        let spoil = json!({"month": "2026-02", "millionths": "much"});
        memory.lock().unwrap().objects.find_mut("ConfigMap", SPENT).unwrap()["data"] = spoil;
        assert!(matches!(store.kept_sum().await, Err(LedgerError::Unreadable { .. })));
    }

    #[tokio::test]
    async fn the_consoles_of_the_last_nodes_are_kept() {
        let (api, memory) = api().await;
        let store = Store::open(api).await.unwrap();
        for number in 10..10 + CONSOLES + 2 {
            store.keep_console(&format!("burst-{number}"), "no route to host").await.unwrap();
        }
        let names: Vec<Value> = memory
            .lock()
            .unwrap()
            .objects
            .of("Secret")
            .iter()
            .map(|it| it["metadata"]["name"].clone())
            .collect();
        assert_eq!((names.len(), &names[0]), (CONSOLES, &json!("console-burst-12")));
    }

    #[tokio::test]
    async fn a_namespace_that_somebody_deletes_is_no_ledger_without_claims() {
        let memory = Arc::new(Mutex::new(Memory::default()));
        let kept = memory.clone();
        let fake = Fake::serve(SERVER, move |_, request, body| {
            let mut memory = kept.lock().unwrap();
            let there = memory.objects.of("Namespace").iter().any(|it| it["metadata"]["name"] == NAMESPACE);
            // As Kubernetes answers.
            match request.starts_with("POST") && request.contains("/namespaces/hoist-burst/") && !there {
                true => Answer::failure(404, "NotFound", "namespaces \"hoist-burst\" not found"),
                false => memory.answer(request, body),
            }
        })
        .await;
        let api = kube::connect(fake.host(), &Fake::kubeconfig(&fake.ca)).await.unwrap();
        let store = Store::open(api).await.unwrap();
        let mut candidate = Candidate::new("a".into());
        assert!(candidate.hold(&store, Time(0)).await.unwrap());
        store.create(&claim_of("burst-1")).await.unwrap();
        memory.lock().unwrap().answer("DELETE /api/v1/namespaces/hoist-burst", b"");
        assert!(matches!(store.claims().await, Err(LedgerError::Unavailable { .. })));
        assert!(
            candidate.hold(&store, Time(1_000)).await.unwrap(),
            "it leads again, in a namespace made anew"
        );
        assert_eq!(store.claims().await.unwrap(), []);
    }

    #[tokio::test]
    async fn who_only_reads_makes_nothing_and_finds_nothing_where_nothing_is() {
        let (api, memory) = api().await;
        let reader = Store::reader(api);
        assert_eq!(reader.claims().await.unwrap(), []);
        assert_eq!(reader.book().await.unwrap(), (Book::default(), None));
        let made = |kind: &str| memory.lock().unwrap().objects.of(kind).len();
        assert_eq!((made("Namespace"), made("Role"), made("Secret")), (0, 0, 0));
    }

    #[tokio::test]
    async fn one_of_two_leads() {
        let (api, _) = api().await;
        let store = Store::open(api).await.unwrap();
        let (mut a, mut b) = (Candidate::new("a".into()), Candidate::new("b".into()));
        assert!(a.hold(&store, Time(0)).await.unwrap());
        assert!(!b.hold(&store, Time(1_000)).await.unwrap());
        assert!(a.hold(&store, Time(2_000)).await.unwrap());
        let (record, version) = store.read().await.unwrap().unwrap();
        assert_eq!(record.holder.as_deref(), Some("a"));
        store.write(&record, Some(&version)).await.unwrap();
        assert!(is_conflict(store.write(&record, Some(&version)).await));
        a.release(&store, Time(3_000)).await.unwrap();
        assert!(b.hold(&store, Time(4_000)).await.unwrap());
    }
}
