#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Ray's command line. A wheel cannot hold the link that `ray` is in a build folder.
self=$0
[ ! -L "$self" ] || self=$(readlink -f "$self")
exec "${self%/*}/mobula" ray "$@"
