# The version in pyproject.toml, which every way of building reads there.
# Sets ProjectVersion_FULL, such as 0.2.0.dev0, and ProjectVersion_NUMBER, such as 0.2.0.

file(STRINGS ${CMAKE_CURRENT_SOURCE_DIR}/pyproject.toml project_version REGEX "^version = ")
if(NOT project_version MATCHES "\"(([0-9]+\\.[0-9]+\\.[0-9]+)[^\"]*)\"")
  message(FATAL_ERROR "pyproject.toml must have a line such as: version = \"1.2.3\"")
endif()
set(ProjectVersion_FULL ${CMAKE_MATCH_1})
set(ProjectVersion_NUMBER ${CMAKE_MATCH_2})
