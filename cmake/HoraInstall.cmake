# make install: library, header, hora.pc and a CMake package, man pages, completions, licence; make uninstall.
install(TARGETS hora_static hora_shared
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY include/hora DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
# Both files find the library from where they lie, so that any --prefix works.
file(RELATIVE_PATH HORA_PC_PREFIX /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
file(RELATIVE_PATH HORA_PACKAGE_PREFIX /${CMAKE_INSTALL_LIBDIR}/cmake/hora /)
# What a program that links libhora.a needs besides, as found: modules of pkg-config, and libraries that have none.
list(JOIN HORA_MODULES " " HORA_PC_REQUIRES)
set(HORA_PC_LIBS "-lm -lpthread")
if(OpenMP_C_FOUND)
  foreach(lib ${OpenMP_C_LIB_NAMES})
    string(APPEND HORA_PC_LIBS " -l${lib}")
  endforeach()
endif()
if(HORA_HAVE_ONEDNN)
  string(APPEND HORA_PC_LIBS " -ldnnl")
endif()
configure_file(cmake/hora.pc.in hora.pc @ONLY)
configure_file(cmake/hora-config.cmake.in hora-config.cmake @ONLY)
include(CMakePackageConfigHelpers)
write_basic_package_version_file(${CMAKE_BINARY_DIR}/hora-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/hora.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
install(FILES ${CMAKE_BINARY_DIR}/hora-config.cmake ${CMAKE_BINARY_DIR}/hora-config-version.cmake
        DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/hora)
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})

# Man pages and completions come from the tool's own tables. A cross-compiled tool cannot be asked.
if(NOT CMAKE_CROSSCOMPILING)
  set(HORA_PAGES)
  set(HORA_MANUAL ${CMAKE_BINARY_DIR}/manual)
  file(MAKE_DIRECTORY ${HORA_MANUAL})
  foreach(def commands theory)
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS src/tool/${def}.def)
    file(STRINGS src/tool/${def}.def rows REGEX "^[A-Z]+\\(")
    foreach(row ${rows})
      string(REGEX REPLACE "^[A-Z]+\\(([a-z]+)\\).*" "\\1" name "${row}")
      list(APPEND HORA_PAGES "${def} ${name}")
    endforeach()
  endforeach()
  set(made ${HORA_MANUAL}/hora.1 ${HORA_MANUAL}/hora.bash ${HORA_MANUAL}/_hora)
  set(make COMMAND hora help --man > ${HORA_MANUAL}/hora.1
           COMMAND hora help --completion bash > ${HORA_MANUAL}/hora.bash
           COMMAND hora help --completion zsh > ${HORA_MANUAL}/_hora)
  foreach(page ${HORA_PAGES})
    string(REGEX REPLACE "^commands " "" words "${page}")
    string(REPLACE " " "-" file "${words}")
    separate_arguments(words)
    list(APPEND made ${HORA_MANUAL}/hora-${file}.1)
    list(APPEND make COMMAND hora help --man ${words} > ${HORA_MANUAL}/hora-${file}.1)
  endforeach()
  add_custom_command(OUTPUT ${made} ${make} DEPENDS hora VERBATIM)
  add_custom_target(hora_manual ALL DEPENDS ${made})
  install(DIRECTORY ${HORA_MANUAL}/ DESTINATION ${CMAKE_INSTALL_MANDIR}/man1 FILES_MATCHING PATTERN "*.1")
  install(FILES ${HORA_MANUAL}/hora.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME hora)
  install(FILES ${HORA_MANUAL}/_hora DESTINATION ${CMAKE_INSTALL_DATADIR}/zsh/site-functions)
endif()

# Removes what the last installation from this build folder wrote: the files of its list, then folders of hora's own that
# are empty.
configure_file(cmake/uninstall.cmake.in uninstall.cmake @ONLY)
add_custom_target(uninstall COMMAND ${CMAKE_COMMAND} -P ${CMAKE_BINARY_DIR}/uninstall.cmake VERBATIM)
