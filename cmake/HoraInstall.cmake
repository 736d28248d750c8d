# make install: library, header, hora.pc and a CMake package.
install(TARGETS hora_static hora_shared
        ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY include/hora DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
# Both files find the library from where they lie, so that any --prefix works.
file(RELATIVE_PATH HORA_PC_PREFIX /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
file(RELATIVE_PATH HORA_PACKAGE_PREFIX /${CMAKE_INSTALL_LIBDIR}/cmake/hora /)
# What a program that links libhora.a needs besides, as found: modules of pkg-config, and libraries that have none.
list(JOIN HORA_MODULES " " HORA_PC_REQUIRES)
set(HORA_PC_LIBS "-lm -lpthread")
foreach(lib ${OpenMP_C_LIB_NAMES})
  string(APPEND HORA_PC_LIBS " -l${lib}")
endforeach()
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
