/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The release of Ray whose API, command line and HTTP this is compatible with. MOBULA_VERSION is
 * the project's own version and comes from Meson. */
#define RAY_VERSION "2.60.0"
#define RAY_COMMIT  "b7f4259e944bf6959f721b106adc366ddfa0c356"
