//! Episodes: one incident of one alert.
