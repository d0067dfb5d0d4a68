//! The Price List API's documents.
//!
//! `GetProducts` answers with one JSON document for each product, as text. Source: "Using the AWS Price List Query API" in
//! the AWS Billing user guide. Numbers in it are texts, and a product has one way to pay on demand, with one dimension.

use serde_json::Value;

use crate::burst::offer::Money;

/// A document that is none of a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a document of the price list is not understood")]
pub struct Unreadable;

/// The type and the price of an hour on demand in US dollars; nothing for a product that has none, or costs nothing.
///
/// # Errors
/// It is no JSON, or names no type.
pub fn price(document: &str) -> Result<Option<(String, Money)>, Unreadable> {
    let document: Value = serde_json::from_str(document).map_err(|_| Unreadable)?;
    let name = document["product"]["attributes"]["instanceType"].as_str().ok_or(Unreadable)?;
    let values = |value: &Value| -> Vec<Value> {
        value.as_object().map(|map| map.values().cloned().collect()).unwrap_or_default()
    };
    let terms = values(&document["terms"]["OnDemand"]);
    let dimensions = terms.iter().flat_map(|term| values(&term["priceDimensions"]));
    let hours = dimensions.filter(|dimension| dimension["unit"] == "Hrs");
    let dollars = hours.filter_map(|dimension| millionths(dimension["pricePerUnit"]["USD"].as_str()?));
    // Of several, the dearest: a budget errs on the safe side.
    Ok(dollars.max().filter(|money| money.0 > 0).map(|money| (name.to_owned(), money)))
}

/// `0.0960000000`, exactly, and rounded up where there is more than a millionth.
pub fn millionths(text: &str) -> Option<Money> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) {
        return None;
    }
    let (kept, rest) = fraction.split_at(fraction.len().min(6));
    let millionths: u64 = format!("{kept:0<6}").parse().ok()?;
    let more = u64::from(rest.bytes().any(|byte| byte != b'0'));
    Some(Money(whole.parse::<u64>().ok()?.checked_mul(1_000_000)?.checked_add(millionths + more)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the API documents it, shortened by attributes that are not looked at.
    const DOCUMENT: &str = r#"{
        "product": {
            "productFamily": "Compute Instance", "sku": "2223B6PCG6QAUYY6",
            "attributes": {"instanceType": "m5.large", "regionCode": "eu-central-1", "operatingSystem": "Linux",
                           "tenancy": "Shared", "preInstalledSw": "NA", "capacitystatus": "Used", "vcpu": "2", "memory": "8 GiB"}
        },
        "serviceCode": "AmazonEC2",
        "terms": {
            "OnDemand": {"2223B6PCG6QAUYY6.JRTCKXETXF": {
                "priceDimensions": {"2223B6PCG6QAUYY6.JRTCKXETXF.6YS6EN2CT7": {
                    "unit": "Hrs", "endRange": "Inf", "description": "$0.115 per On Demand Linux m5.large Instance Hour",
                    "appliesTo": [], "rateCode": "2223B6PCG6QAUYY6.JRTCKXETXF.6YS6EN2CT7", "beginRange": "0",
                    "pricePerUnit": {"USD": "0.1150000000"}}},
                "sku": "2223B6PCG6QAUYY6", "effectiveDate": "2026-01-01T00:00:00Z", "offerTermCode": "JRTCKXETXF",
                "termAttributes": {}}},
            "Reserved": {"2223B6PCG6QAUYY6.6QCMYABX3D": {
                "priceDimensions": {"2223B6PCG6QAUYY6.6QCMYABX3D.6YS6EN2CT7": {
                    "unit": "Hrs", "pricePerUnit": {"USD": "0.0000000000"}}}}}
        },
        "version": "20260101000000", "publicationDate": "2026-01-01T00:00:00Z"
    }"#;

    #[test]
    fn a_product_costs_what_its_document_says_on_demand() {
        assert_eq!(price(DOCUMENT), Ok(Some(("m5.large".to_owned(), Money(115_000)))));
    }

    #[test]
    fn what_has_no_price_in_dollars_has_none() {
        assert_eq!(price(&DOCUMENT.replace("USD", "CNY")), Ok(None));
        assert_eq!(price(&DOCUMENT.replace("\"0.1150000000\"", "\"0.0000000000\"")), Ok(None));
        assert_eq!(price(&DOCUMENT.replace("OnDemand", "OffDemand")), Ok(None));
        assert_eq!(price("{\"product\": {}}"), Err(Unreadable));
        assert_eq!(price("<html>"), Err(Unreadable));
    }

    #[test]
    fn prices_are_exact_and_never_too_low() {
        for (text, money) in [
            ("0.0960000000", Some(96_000)),
            ("13.3488", Some(13_348_800)),
            ("2", Some(2_000_000)),
            ("0.0000001", Some(1)),
            ("-1", None),
            ("", None),
            ("1e3", None),
        ] {
            assert_eq!(millionths(text), money.map(Money), "{text}");
        }
    }
}
