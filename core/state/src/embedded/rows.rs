//! The bytes of the store: one tree, whose keys begin with a letter for the kind of row.
//!
//! Numbers are little-endian, but big-endian in keys, so that they sort. Every value begins with its version.

use std::sync::Arc;

use btvep_domain::{ChargeRecord, Credits, Key, KeyId, Settlement};

use crate::accounting::{Balance, Debt, Digest};

/// Version of the whole layout; written once.
pub(super) const SCHEMA: &[u8] = b"1";
pub(super) const SCHEMA_ROW: &[u8] = b"i:schema";
pub(super) const PEPPER_ROW: &[u8] = b"i:pepper";
/// Number of the newest commit that the tree holds.
pub(super) const COMMIT_ROW: &[u8] = b"i:commit";
/// `k` + key id: the key, its hash and its account.
pub(super) const KEYS: &[u8] = b"k";
/// `m` + request id: an answer has begun to leave.
pub(super) const MARKS: &[u8] = b"m";
/// `c` + number of the first record: charge records, several in a row.
pub(super) const CHARGES: &[u8] = b"c";

const VERSION: u8 = 1;

const ENABLED: u8 = 1;
const EXPIRES: u8 = 2;
const LIMITED: u8 = 4;
const NAMED: u8 = 8;
const POLICY: u8 = 16;

pub(super) fn key_row(id: KeyId) -> Vec<u8> {
    [KEYS, id.as_str().as_bytes()].concat()
}

pub(super) fn mark_row(request_id: &str) -> Vec<u8> {
    [MARKS, request_id.as_bytes()].concat()
}

pub(super) fn charge_row(first: u64) -> Vec<u8> {
    [CHARGES, &first.to_be_bytes()].concat()
}

pub(super) fn charge_row_number(row: &[u8]) -> Option<u64> {
    row.strip_prefix(CHARGES)?.try_into().ok().map(u64::from_be_bytes)
}

pub(super) fn encode_key(key: &Key, digest: &Digest, balance: &Balance) -> Vec<u8> {
    let policy = key.policy.as_ref().and_then(|policy| serde_json::to_vec(policy).ok());
    let flag = |set: bool, flag: u8| if set { flag } else { 0 };
    let flags = flag(key.enabled, ENABLED)
        | flag(key.valid_until.is_some(), EXPIRES)
        | flag(balance.credits.is_some(), LIMITED)
        | flag(key.name.is_some(), NAMED)
        | flag(policy.is_some(), POLICY);
    let mut row = Vec::with_capacity(128);
    row.extend([VERSION, flags]);
    row.extend(digest);
    row.extend(key.created_at.to_le_bytes());
    row.extend(key.updated_at.to_le_bytes());
    row.extend(balance.api_request_count.to_le_bytes());
    row.extend(balance.request_count.to_le_bytes());
    row.extend(key.valid_until.into_iter().flat_map(i64::to_le_bytes));
    row.extend(balance.credits.into_iter().flat_map(|credits| credits.0.to_le_bytes()));
    put_bytes(&mut row, key.name.as_deref().map(str::as_bytes));
    put_bytes(&mut row, policy.as_deref());
    row
}

pub(super) fn decode_key(row: &[u8], value: &[u8]) -> Option<(Key, Digest, Balance)> {
    let id = std::str::from_utf8(row.strip_prefix(KEYS)?).ok()?.parse().ok()?;
    let mut bytes = Bytes(value);
    let [VERSION, flags] = bytes.array()? else { return None };
    let has = |flag: u8| flags & flag != 0;
    let digest = bytes.array()?;
    let (created_at, updated_at) = (bytes.i64()?, bytes.i64()?);
    let (api_request_count, request_count) = (bytes.u64()?, bytes.u64()?);
    let valid_until = if has(EXPIRES) { Some(bytes.i64()?) } else { None };
    let credits = if has(LIMITED) { Some(Credits(bytes.i64()?)) } else { None };
    let name = if has(NAMED) { Some(std::str::from_utf8(bytes.counted()?).ok()?.into()) } else { None };
    let policy = if has(POLICY) { Some(serde_json::from_slice(bytes.counted()?).ok()?) } else { None };
    let key = Key { id, name, enabled: has(ENABLED), valid_until, created_at, updated_at, policy };
    Some((key, digest, Balance { credits, api_request_count, request_count }))
}

pub(super) fn encode_mark(debt: &Debt) -> Vec<u8> {
    let mut value = vec![VERSION, if debt.held.is_some() { LIMITED } else { 0 }];
    value.extend(debt.key.as_str().as_bytes());
    value.extend(debt.price.0.to_le_bytes());
    value.extend(debt.max_choices.to_le_bytes());
    value.extend(debt.at_ms.to_le_bytes());
    value.extend(debt.held.into_iter().flat_map(|held| held.0.to_le_bytes()));
    value
}

pub(super) fn decode_mark(row: &[u8], value: &[u8]) -> Option<Debt> {
    let request_id = std::str::from_utf8(row.strip_prefix(MARKS)?).ok()?.into();
    let mut bytes = Bytes(value);
    let [VERSION, flags] = bytes.array()? else { return None };
    Some(Debt {
        request_id,
        key: bytes.key_id()?,
        price: Credits(bytes.i64()?),
        max_choices: bytes.u32()?,
        at_ms: bytes.i64()?,
        held: if flags & LIMITED == 0 { None } else { Some(Credits(bytes.i64()?)) },
    })
}

/// Appends a charge record with its length in front.
pub(super) fn put_charge(row: &mut Vec<u8>, record: &ChargeRecord) {
    let settlement = match record.settlement {
        Settlement::Closed => 0,
        Settlement::Recovered => 1,
        Settlement::Adjusted => 2,
    };
    let mut bytes = Vec::with_capacity(96);
    bytes.extend([VERSION, if record.balance.is_some() { LIMITED } else { 0 }, settlement]);
    bytes.extend(record.key.as_str().as_bytes());
    bytes.extend(record.price.0.to_le_bytes());
    bytes.extend(record.choices.to_le_bytes());
    bytes.extend(record.charged.0.to_le_bytes());
    bytes.extend(record.attempts.to_le_bytes());
    bytes.extend(record.at_ms.to_le_bytes());
    bytes.extend(record.balance.into_iter().flat_map(|balance| balance.0.to_le_bytes()));
    bytes.extend(record.request_id.as_bytes());
    put_bytes(row, Some(&bytes));
}

/// Takes the first charge record off a row.
pub(super) fn take_charge(row: &mut Bytes<'_>) -> Option<ChargeRecord> {
    let mut bytes = Bytes(row.counted()?);
    let [VERSION, flags, settlement] = bytes.array()? else { return None };
    let (key, price, choices) = (bytes.key_id()?, Credits(bytes.i64()?), bytes.u32()?);
    let (charged, attempts, at_ms) = (Credits(bytes.i64()?), bytes.u32()?, bytes.i64()?);
    let balance = if flags & LIMITED == 0 { None } else { Some(Credits(bytes.i64()?)) };
    let request_id: Arc<str> = std::str::from_utf8(bytes.0).ok()?.into();
    let settlement = match settlement {
        0 => Settlement::Closed,
        1 => Settlement::Recovered,
        2 => Settlement::Adjusted,
        _ => return None,
    };
    Some(ChargeRecord { request_id, key, price, choices, charged, balance, attempts, at_ms, settlement })
}

/// Appends bytes with their length in front.
pub(super) fn put_bytes(row: &mut Vec<u8>, bytes: Option<&[u8]>) {
    if let Some(bytes) = bytes {
        row.extend(u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
        row.extend(bytes);
    }
}

/// Bytes that are read from the front.
pub(super) struct Bytes<'a>(pub(super) &'a [u8]);

impl<'a> Bytes<'a> {
    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*first)
    }

    fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn key_id(&mut self) -> Option<KeyId> {
        std::str::from_utf8(&self.array::<{ KeyId::LEN }>()?).ok()?.parse().ok()
    }

    /// Takes bytes with their length in front.
    pub(super) fn counted(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.u32()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id() -> KeyId {
        "abcdefghijkl".parse().unwrap()
    }

    #[test]
    fn keys_come_back_as_they_were() {
        let plain = Key { name: None, ..btvep_testkit::key() };
        let policy = btvep_domain::KeyPolicy { max_top_n: Some(3), ..Default::default() };
        let rich =
            Key { valid_until: Some(-5), enabled: false, policy: Some(Box::new(policy)), ..btvep_testkit::key() };
        for key in [plain, rich] {
            for credits in [None, Some(Credits(0)), Some(Credits(i64::MAX))] {
                let balance = Balance { credits, api_request_count: 7, request_count: u64::MAX };
                let value = encode_key(&key, &[9; 32], &balance);
                assert_eq!(decode_key(&key_row(key.id), &value), Some((key.clone(), [9; 32], balance)));
                for cut in 0..value.len() {
                    assert_eq!(decode_key(&key_row(key.id), &value[..cut]), None, "cut at {cut}");
                }
            }
        }
    }

    #[test]
    fn marks_and_charges_come_back_as_they_were() {
        for amount in [None, Some(Credits(5))] {
            let debt =
                Debt { request_id: "r".into(), key: id(), price: Credits(2), max_choices: 3, held: amount, at_ms: 4 };
            assert_eq!(decode_mark(&mark_row("r"), &encode_mark(&debt)), Some(debt));
            let record = ChargeRecord {
                request_id: "req_ä".into(),
                key: id(),
                price: Credits(2),
                choices: 3,
                charged: Credits(-6),
                balance: amount,
                attempts: 4,
                at_ms: 5,
                settlement: Settlement::Recovered,
            };
            let mut row = Vec::new();
            put_charge(&mut row, &record);
            put_charge(&mut row, &record);
            let mut bytes = Bytes(&row);
            assert_eq!(take_charge(&mut bytes).as_ref(), Some(&record));
            assert_eq!(take_charge(&mut bytes), Some(record));
            assert!(bytes.is_empty());
        }
        assert_eq!(charge_row_number(&charge_row(u64::MAX)), Some(u64::MAX));
    }
}
