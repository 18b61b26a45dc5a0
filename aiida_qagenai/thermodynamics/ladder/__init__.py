"""The ladder that comes with the package: crystals of H to Ar at PBE, SCAN, HSE06 and composite CCSD(T)."""
