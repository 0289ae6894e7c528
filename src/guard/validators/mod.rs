//! Checks of a value that an expression found: checksums, structure, variety of characters.

pub(super) mod checksum;
pub(super) mod ids;
pub(super) mod more_ids;
pub(super) mod secrets;

use serde::Deserialize;

/// The check that a rule names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Validator {
    /// No documented example, and not one character over and over.
    #[default]
    NotExample,
    /// As varied as random text of the value's length.
    Random,
    /// Nothing is checked.
    Nothing,

    // Secrets.
    GithubChecksum,
    Jwt,
    AwsKeyId,
    BasicCredentials,
    WebhookPath,
    WifChecksum,
    SeedPhrase,
    Secret,
    /// Base 32 with a digit in it, in groups or not.
    Base32,
    /// What a sentence could call a password.
    SaidPassword,

    // Walked to from a key word.
    Password,
    Key,
    BareKey,
    /// Walked to from a word that names other things as well: it must look like a password.
    ShortPassword,
    /// Said of a pronoun that stands for a password named before.
    Referred,
    PrivateKey,
    /// The expression alone decides, on a varied value.
    Format,

    // Read by code.
    UriPassword,
    Email,
    Card,
    Phone,
    Ssn,
    Iban,
    Ipv4,
    Ipv6,
    Mac,
    Entropy,

    // National ids.
    SpanishDni,
    CodiceFiscale,
    GermanTaxId,
    DutchBsn,
    BelgianRrn,
    PolishPesel,
    BrazilianCpf,
    BrazilianCnpj,
    FrenchNir,
    BritishNino,
    BritishNhs,
    SwedishPersonnummer,
    Aadhaar,
    IndianPan,
    CanadianSin,
    AustralianTfn,
    Mrz,
    FinnishHetu,
    NorwegianFnr,
    DanishCpr,
    PortugueseNif,
    SwissAhv,
    ChineseId,
    KoreanRrn,
    SingaporeanNric,
    ChileanRut,
    ArgentineCuil,
    RomanianCnp,
    SouthAfricanId,
    CroatianOib,
    BalticCode,
    TurkishTckn,
    MexicanCurp,
    CzechBirthNumber,
    BulgarianEgn,
    IrishPps,
    ThaiId,
    AustrianSvnr,
    JapaneseMyNumber,
    TaiwaneseId,
    IsraeliId,
    Birthdate,
}

impl Validator {
    /// Whether `value` passes. Validators that read the text themselves pass everything here.
    pub fn accepts(self, value: &str) -> bool {
        use checksum as sums;
        let digits = || sums::Digits::of(value);
        match self {
            Self::NotExample => !super::allow::is_documented_example(value),
            Self::Random => secrets::is_random(value),
            Self::GithubChecksum => sums::github(value),
            Self::Jwt => secrets::is_jwt(value),
            Self::AwsKeyId => secrets::is_aws_key_id(value),
            Self::BasicCredentials => secrets::is_basic_credentials(value),
            Self::WebhookPath => !super::allow::is_documented_example(value) && secrets::is_varied(value),
            Self::WifChecksum => secrets::is_wif(value),
            Self::SeedPhrase => secrets::is_seed_phrase(value),
            Self::Secret => secrets::is_argument(value),
            Self::Base32 => secrets::is_base32(value),
            Self::SaidPassword => super::value::is_password(value, super::assigned::Link::Said),
            Self::Format => !super::allow::is_placeholder(value) && secrets::is_varied(value),
            Self::Mac => is_someones_mac(value),
            Self::SpanishDni => ids::spanish_dni(value),
            Self::CodiceFiscale => ids::codice_fiscale(value),
            Self::GermanTaxId => ids::german_tax_id(&digits()),
            Self::DutchBsn => ids::dutch_bsn(&digits()),
            Self::BelgianRrn => ids::belgian_rrn(&digits()),
            Self::PolishPesel => ids::polish_pesel(&digits()),
            Self::BrazilianCpf => ids::brazilian_cpf(&digits()),
            Self::BrazilianCnpj => ids::brazilian_cnpj(&digits()),
            Self::FrenchNir => ids::french_nir(value),
            Self::BritishNino => ids::british_nino(value),
            Self::BritishNhs => ids::british_nhs(&digits()),
            Self::SwedishPersonnummer => ids::swedish_personnummer(&digits()),
            Self::Aadhaar => ids::aadhaar(&digits()),
            Self::CanadianSin => ids::canadian_sin(&digits()),
            Self::AustralianTfn => ids::australian_tfn(&digits()),
            Self::Mrz => ids::mrz(value),
            Self::FinnishHetu => ids::finnish_hetu(value),
            Self::NorwegianFnr => ids::norwegian_fnr(&digits()),
            Self::DanishCpr => ids::danish_cpr(&digits()),
            Self::PortugueseNif => ids::portuguese_nif(&digits()),
            Self::SwissAhv => ids::swiss_ahv(&digits()),
            Self::ChineseId => ids::chinese_id(value),
            Self::KoreanRrn => ids::korean_rrn(&digits()),
            Self::SingaporeanNric => more_ids::singaporean_nric(value),
            Self::ChileanRut => more_ids::chilean_rut(value),
            Self::ArgentineCuil => more_ids::argentine_cuil(&digits()),
            Self::RomanianCnp => more_ids::romanian_cnp(&digits()),
            Self::SouthAfricanId => more_ids::south_african_id(&digits()),
            Self::CroatianOib => more_ids::croatian_oib(&digits()),
            Self::BalticCode => more_ids::baltic_code(&digits()),
            Self::TurkishTckn => more_ids::turkish_tckn(&digits()),
            Self::MexicanCurp => more_ids::mexican_curp(value),
            Self::CzechBirthNumber => more_ids::czech_birth_number(&digits()),
            Self::BulgarianEgn => more_ids::bulgarian_egn(&digits()),
            Self::IrishPps => more_ids::irish_pps(value),
            Self::ThaiId => more_ids::thai_id(&digits()),
            Self::AustrianSvnr => more_ids::austrian_svnr(&digits()),
            Self::JapaneseMyNumber => more_ids::japanese_my_number(&digits()),
            Self::TaiwaneseId => more_ids::taiwanese_id(value),
            Self::IsraeliId => more_ids::israeli_id(&digits()),
            Self::Nothing
            | Self::IndianPan
            | Self::Birthdate
            | Self::Password
            | Self::Key
            | Self::BareKey
            | Self::ShortPassword
            | Self::Referred
            | Self::PrivateKey
            | Self::UriPassword
            | Self::Email
            | Self::Card
            | Self::Phone
            | Self::Ssn
            | Self::Iban
            | Self::Ipv4
            | Self::Ipv6
            | Self::Entropy => true,
        }
    }
}

/// Not the empty address, not the one for all, and no multicast (IEEE 802).
fn is_someones_mac(address: &str) -> bool {
    let digit = |at: usize| address.as_bytes().get(at).copied().unwrap_or_default();
    let multicast = digit(1).is_ascii_hexdigit()
        && matches!(digit(1), b'1' | b'3' | b'5' | b'7' | b'9' | b'b' | b'd' | b'f' | b'B' | b'D' | b'F');
    !multicast && address.bytes().any(|byte| !matches!(byte, b'0' | b':' | b'-'))
}
