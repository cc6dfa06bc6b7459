// Runs a .pte model of this bundle with ExecuTorch.
// build.gradle.kts: implementation("org.pytorch:executorch-android:RELEASE"), with the release that
// manifest.json names as the runtime of the model: files of one are not read by every other.

import org.pytorch.executorch.DType
import org.pytorch.executorch.EValue
import org.pytorch.executorch.Module
import org.pytorch.executorch.Tensor

/** A model from a file: copy it out of the assets first, ExecuTorch maps it into memory. */
class AutomedExecuTorch(path: String) {
    private val module = Module.load(path)

    /** Outputs of one sample in the order of manifest.json; inputs are raw, in its order. */
    fun run(inputs: List<Pair<FloatArray, LongArray>>): List<FloatArray> {
        val given = inputs.map { (values, shape) -> EValue.from(Tensor.fromBlob(values, shape)) }
        return module.forward(*given.toTypedArray()).map { floats(it.toTensor()) }
    }

    /** Label maps come as whole numbers. */
    private fun floats(tensor: Tensor): FloatArray = when (tensor.dtype()) {
        DType.FLOAT -> tensor.dataAsFloatArray
        DType.INT64 -> tensor.dataAsLongArray.let { FloatArray(it.size) { i -> it[i].toFloat() } }
        else -> error("no output of automed's is ${tensor.dtype()}")
    }
}
