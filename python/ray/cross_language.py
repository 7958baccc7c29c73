# SPDX-License-Identifier: Apache-2.0
"""Functions and classes of other languages: their names exist, their workers do not."""


def _refuse(language):
    raise NotImplementedError(
        f"{language} workers are not part of Mobula: call {language} code from a Python task, "
        "for example as a subprocess."
    )


def java_function(class_name, function_name):
    _refuse("Java")


def java_actor_class(class_name):
    _refuse("Java")


def cpp_function(function_name):
    _refuse("C++")
