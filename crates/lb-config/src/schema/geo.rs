//! Where clients are, and the regions of pools.

use super::Default::{Required, Text, Value};
use super::Proof::Refused;
use super::pool::ALGORITHM;
use super::proof::*;
use super::{Key, Kind, Section};

pub(super) static GEO: Section = Section {
    path: "geo",
    doc: "How pools of `geo-based` and `geo-aware` find out where a client is. See [geography](geography.md). When absent: by the \
          built-in database.",
    keys: &[
        Key::section(
            "database",
            Kind::OneOrMore(&DATABASE),
            Value("\"built-in\""),
            "Who is asked: `\"built-in\"`, a table, or a list of these. The first that places an address ends it.",
        ),
        Key::section("cache", Kind::Table(&CACHE), Text("as below"), "What is remembered."),
        Key::section(
            "overrides",
            Kind::Named(&OVERRIDE),
            NONE,
            "Places that you give to networks, such as `\"10.0.0.0/8\" = { country = \"DE\" }`. They are asked first; the longest prefix counts.",
        ),
    ],
};

pub(super) static DATABASE: Section = Section {
    path: "geo.database",
    doc: "Who knows where an address is. A key that the `type` does not use is an error.",
    keys: &[
        Key::built(
            "type",
            "`built-in`, `maxmind`, `ipinfo` or `ipapi`",
            Required,
            change("type = \"ipinfo\"", "type = \"ipapi\""),
            "The country database that is compiled in, a file in MaxMind's format, or one of two services.",
        ),
        Key::built(
            "path",
            "file name",
            Text("required with `maxmind`"),
            change(MAXMIND, "type = \"maxmind\"\npath = \"b.mmdb\""),
            "`maxmind`: the file. Relative to the configuration file's folder.",
        ),
        Key::built(
            "mapped",
            "boolean",
            Value("false"),
            change(MAXMIND, "type = \"maxmind\"\npath = \"a.mmdb\"\nmapped = true"),
            "`maxmind`: mapped into memory rather than read. Replace it by renaming a new one over it, never by writing into it.",
        ),
        Key::built(
            "token",
            "secret",
            NONE,
            change("type = \"ipinfo\"", "type = \"ipinfo\"\ntoken = \"t0\""),
            "`ipinfo`, `ipapi`: what the service gave you.",
        ),
        Key::built(
            "base_url",
            "URL",
            Text("the service's own"),
            change("type = \"ipinfo\"", "type = \"ipinfo\"\nbase_url = \"http://127.0.0.1:1/a\""),
            "`ipinfo`, `ipapi`: where it is.",
        ),
        Key::built(
            "timeout",
            "duration, 10ms–30s",
            Value("\"2s\""),
            change("type = \"ipinfo\"", "type = \"ipinfo\"\ntimeout = \"1s\""),
            "`ipinfo`, `ipapi`: how long a look-up may take, retries included.",
        ),
        Key::built(
            "retries",
            "whole number, 0–5",
            Value("1"),
            change("type = \"ipinfo\"", "type = \"ipinfo\"\nretries = 0"),
            "`ipinfo`, `ipapi`: how often it is asked again.",
        ),
        Key::built(
            "backoff",
            "duration, 1ms–30s",
            Value("\"100ms\""),
            change("type = \"ipinfo\"", "type = \"ipinfo\"\nbackoff = \"1s\""),
            "`ipinfo`, `ipapi`: the wait before the first retry; doubled for each one after.",
        ),
        Key::built(
            "max_concurrent",
            "whole number, 1–1024",
            Value("16"),
            change("type = \"ipinfo\"", "type = \"ipinfo\"\nmax_concurrent = 1"),
            "`ipinfo`, `ipapi`: the most look-ups under way at once.",
        ),
    ],
};
const MAXMIND: &str = "type = \"maxmind\"\npath = \"a.mmdb\"";

pub(super) static CACHE: Section = Section {
    path: "geo.cache",
    doc: "What is remembered of addresses that were looked up.",
    keys: &[
        Key::built("enabled", "boolean", ON, set("enabled = false"), ENABLED_DOC),
        Key::built(
            "ttl",
            "duration, 1s–30d",
            Value("\"1h\""),
            set("ttl = \"2h\""),
            "How long a place is remembered.",
        ),
        Key::built(
            "negative_ttl",
            "duration, 1s–30d",
            Text("`\"5m\"`, or `ttl` if that is shorter"),
            set("negative_ttl = \"1m\""),
            "How long it is remembered that nobody knows an address.",
        ),
        Key::built(
            "capacity",
            "whole number, 1–10000000",
            Value("65536"),
            set("capacity = 7"),
            "The most answers that this process keeps.",
        ),
        Key::built(
            "storage",
            "`memory`, or a name under `stores`",
            Value("\"memory\""),
            set("storage = \"shared\""),
            "Where they are kept.",
        ),
    ],
};

pub(super) static OVERRIDE: Section = Section {
    path: "geo.overrides.NETWORK",
    doc: "The place of a network (`10.0.0.0/8`) or an address.",
    keys: &[
        Key::built(
            "country",
            "ISO 3166-1 code",
            Text("the `region`'s"),
            change("coordinates = [1, 2]", "coordinates = [1, 2]\ncountry = \"FR\""),
            "Its country, such as `DE`.",
        ),
        Key::built(
            "region",
            "ISO 3166-2 code",
            NONE,
            change("country = \"DE\"", "country = \"DE\"\nregion = \"DE-BE\""),
            "Its subdivision, such as `US-CA`.",
        ),
        Key::built(
            "city",
            "text",
            NONE,
            change("country = \"DE\"", "country = \"DE\"\ncity = \"Berlin\""),
            "Its city.",
        ),
        Key::built(
            "coordinates",
            "[latitude, longitude]",
            Text("the middle of the country"),
            change("country = \"DE\"", "country = \"DE\"\ncoordinates = [52.5, 13.4]"),
            "Where it is, in degrees north and east.",
        ),
    ],
};

pub(super) static POOL_GEO: Section = Section {
    path: "pools.NAME.geo",
    doc: "With `algorithm = \"geo-based\"`: the backends in regions. A client gets a backend of its region, else of `fallback_region`, else any.",
    keys: &[
        Key::built(
            "enabled",
            "boolean",
            ON,
            change(POOL_REGIONS, "regions = { a = { backends = [\"127.0.0.1:9001\"] } }\nenabled = false"),
            "`false`: all backends alike, chosen by `algorithm` here.",
        ),
        Key::section("regions", Kind::Named(&REGION), Required, "The regions by name, one or more."),
        Key::built(
            "fallback_region",
            "a region's name",
            NONE,
            change(
                POOL_REGIONS,
                "regions = { a = { backends = [\"127.0.0.1:9001\"] } }\nfallback_region = \"a\"",
            ),
            "Whose clients are those that no rule maps.",
        ),
        Key::section(
            "algorithm",
            Kind::TextOrTable(&ALGORITHM),
            Text("`\"weighted-round-robin\"`"),
            "How a backend is chosen within a region; any algorithm but `geo-based` and `geo-aware`.",
        ),
    ],
};
const POOL_REGIONS: &str = "regions = { a = { backends = [\"127.0.0.1:9001\"] } }";

const RULE: &str = "ISO codes, none of them another region's";
const SUBDIVISIONS: &str = "Subdivisions whose clients are its own, such as `US-CA`. They count first.";
const COUNTRIES: &str = "Countries whose clients are its own, such as `US`.";
const CONTINENTS: &str = "Continents whose clients are its own: `AF`, `AN`, `AS`, `EU`, `NA`, `OC`, `SA`. They count after countries.";
const COORDINATES: &str = "Where it is, in degrees north and east. It gets the clients that no rule maps and that are nearest to it.";

pub(super) static REGION: Section = Section {
    path: "pools.NAME.geo.regions.NAME",
    doc: "A region: its backends, and which clients are its own.",
    keys: &[
        Key::built(
            "backends",
            "list of ids",
            Text("those that no region lists and whose `metadata` says `region`"),
            change("backends = [\"127.0.0.1:9001\"]", "backends = [\"127.0.0.1:9002\"]"),
            "Its backends, by `id`, beside those that no region lists and whose `metadata` says `region = \"NAME\"`.",
        ),
        Key::built("countries", RULE, Value("[]"), set("countries = [\"US\"]"), COUNTRIES),
        Key::built("subdivisions", RULE, Value("[]"), set("subdivisions = [\"US-CA\"]"), SUBDIVISIONS),
        Key::built("continents", RULE, Value("[]"), set("continents = [\"EU\"]"), CONTINENTS),
        Key::built(
            "coordinates",
            "[latitude, longitude]",
            NONE,
            set("coordinates = [38.9, -77.4]"),
            COORDINATES,
        ),
    ],
};

pub(super) static BALANCER: Section = Section {
    path: "pools.NAME.regional_balancers.NAME",
    doc: "With `algorithm = \"geo-aware\"`: a region, which has a pool of its own, and which clients are its own.",
    keys: &[
        Key::built(
            "pool",
            "a pool's name",
            Required,
            Refused { with: "pool = \"nowhere\"" },
            "Its pool, which is no other region's and not `geo-aware` itself.",
        ),
        Key::built(
            "countries",
            RULE,
            Value("[]"),
            change(BALANCER_1, "pool = \"east\"\ncountries = [\"US\"]"),
            COUNTRIES,
        ),
        Key::built(
            "subdivisions",
            RULE,
            Value("[]"),
            change(BALANCER_1, "pool = \"east\"\nsubdivisions = [\"US-CA\"]"),
            SUBDIVISIONS,
        ),
        Key::built(
            "continents",
            RULE,
            Value("[]"),
            change(BALANCER_1, "pool = \"east\"\ncontinents = [\"EU\"]"),
            CONTINENTS,
        ),
        Key::built(
            "coordinates",
            "[latitude, longitude]",
            NONE,
            change(BALANCER_1, "pool = \"east\"\ncoordinates = [38.9, -77.4]"),
            COORDINATES,
        ),
    ],
};
const BALANCER_1: &str = "pool = \"east\"";
