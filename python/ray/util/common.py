# SPDX-License-Identifier: Apache-2.0
INT32_MAX = 2**31 - 1
