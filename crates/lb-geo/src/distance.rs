//! Coordinates, and how far apart they are.
//!
//! Distances are along great circles of a sphere by the haversine formula. The earth is flatter than that by a third of a percent, and
//! a packet goes where the cables lie: it is an order of nearness, not a length of a path.

/// The earth's mean radius, in kilometres (IUGG).
pub const EARTH_RADIUS_KM: f64 = 6371.0088;

/// A place: degrees of latitude and longitude, finite and within ±90 and ±180.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Coordinates {
    lat: f64,
    lon: f64,
}

/// Degrees that are no place.
#[derive(Clone, Copy, Debug, PartialEq, thiserror::Error)]
#[error("{part} {degrees} is out of range: it has to be within ±{max}")]
pub struct OutOfRange {
    /// `latitude` or `longitude`.
    pub part: &'static str,
    /// The value.
    pub degrees: f64,
    /// How far from zero it may be.
    pub max: f64,
}

impl Coordinates {
    /// A place at `lat` degrees north and `lon` degrees east.
    ///
    /// # Errors
    /// When one is not finite, `lat` is beyond ±90 or `lon` beyond ±180.
    pub fn new(lat: f64, lon: f64) -> Result<Self, OutOfRange> {
        for (part, degrees, max) in [("latitude", lat, 90.0), ("longitude", lon, 180.0)] {
            if degrees.is_nan() || degrees.abs() > max {
                return Err(OutOfRange { part, degrees, max });
            }
        }
        Ok(Self { lat, lon })
    }

    /// For what a table of this crate says, which a test holds to [`new`](Self::new).
    pub(crate) const fn new_const(lat: f64, lon: f64) -> Self {
        Self { lat, lon }
    }

    /// Degrees north, -90 to 90.
    pub const fn lat(self) -> f64 {
        self.lat
    }

    /// Degrees east, -180 to 180.
    pub const fn lon(self) -> f64 {
        self.lon
    }

    /// How far `other` is, in kilometres: 0 to 20 016.
    ///
    /// ```
    /// use lb_geo::Coordinates;
    /// let (london, paris) = (Coordinates::new(51.51, -0.13)?, Coordinates::new(48.86, 2.35)?);
    /// assert_eq!(london.km_to(paris) as u32, 343);
    /// # Ok::<(), lb_geo::OutOfRange>(())
    /// ```
    pub fn km_to(self, other: Self) -> f64 {
        let (a, b) = (self.lat.to_radians(), other.lat.to_radians());
        let (dlat, dlon) = (b - a, (other.lon - self.lon).to_radians());
        let h = (dlat / 2.0).sin().powi(2) + a.cos() * b.cos() * (dlon / 2.0).sin().powi(2);
        // Rounding can lift it above 1 at the other end of the earth.
        2.0 * EARTH_RADIUS_KM * h.clamp(0.0, 1.0).sqrt().asin()
    }

    /// As a point of the unit sphere around the earth's middle.
    pub(crate) fn on_unit_sphere(self) -> [f64; 3] {
        let (lat, lon) = (self.lat.to_radians(), self.lon.to_radians());
        [lat.cos() * lon.cos(), lat.cos() * lon.sin(), lat.sin()]
    }

    /// The middle of several places, on the sphere (so that 179° and -179° meet at 180°, not at 0°). None of no places, or
    /// of places that have no middle, such as two poles.
    pub fn mean(places: impl IntoIterator<Item = Self>) -> Option<Self> {
        let (mut x, mut y, mut z, mut n) = (0.0, 0.0, 0.0, 0.0);
        for [px, py, pz] in places.into_iter().map(Self::on_unit_sphere) {
            x += px;
            y += py;
            z += pz;
            n += 1.0;
        }
        let across = f64::hypot(x, y);
        // Rounding leaves about 1e-16 a place where nothing should be left.
        if n == 0.0 || f64::hypot(across, z) / n < 1e-9 {
            return None;
        }
        Self::new(z.atan2(across).to_degrees(), y.atan2(x).to_degrees()).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(lat: f64, lon: f64) -> Coordinates {
        Coordinates::new(lat, lon).unwrap()
    }

    fn anywhere() -> impl Strategy<Value = Coordinates> {
        (-90.0..=90.0, -180.0..=180.0).prop_map(|(lat, lon)| at(lat, lon))
    }

    #[test]
    fn known_distances() {
        for (a, b, km) in [
            (at(0.0, 0.0), at(0.0, 180.0), 20_015.0),
            (at(90.0, 0.0), at(-90.0, 77.0), 20_015.0),
            (at(40.64, -73.78), at(51.47, -0.45), 5_540.0), // New York to London
            (at(0.0, 179.5), at(0.0, -179.5), 111.0),
            (at(35.0, 139.0), at(35.0, 139.0), 0.0),
        ] {
            assert!((a.km_to(b) - km).abs() < 2.0, "{a:?} {b:?} {}", a.km_to(b));
        }
    }

    #[test]
    fn the_mean_is_on_the_sphere() {
        let mean = Coordinates::mean([at(0.0, 179.0), at(0.0, -179.0)]).unwrap();
        assert!(mean.km_to(at(0.0, 180.0)) < 0.001, "{mean:?}");
        assert_eq!(Coordinates::mean([]), None);
        assert_eq!(Coordinates::mean([at(90.0, 0.0), at(-90.0, 0.0)]), None);
    }

    #[test]
    fn out_of_range_says_which_and_how_far() {
        let error = Coordinates::new(91.0, 0.0).unwrap_err();
        assert_eq!(error.to_string(), "latitude 91 is out of range: it has to be within ±90");
        assert_eq!(Coordinates::new(0.0, -180.5).unwrap_err().part, "longitude");
        assert!(Coordinates::new(f64::NAN, 0.0).is_err());
        assert!(Coordinates::new(0.0, f64::INFINITY).is_err());
    }

    proptest! {
        #[test]
        fn it_is_a_distance(a in anywhere(), b in anywhere(), c in anywhere()) {
            prop_assert_eq!(a.km_to(a), 0.0);
            prop_assert!((a.km_to(b) - b.km_to(a)).abs() < 1e-6, "symmetry");
            prop_assert!(a.km_to(c) <= a.km_to(b) + b.km_to(c) + 1e-3, "triangle");
            prop_assert!((0.0..=20_016.0).contains(&a.km_to(b)));
        }

        #[test]
        fn the_mean_of_two_is_as_far_from_both(a in anywhere(), b in anywhere()) {
            if let Some(mean) = Coordinates::mean([a, b]) {
                prop_assert!((mean.km_to(a) - mean.km_to(b)).abs() < 1.0);
            }
        }
    }
}
